import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePair, parseTarget } from './pairs.ts';

test('ports to forward, as people write them', () => {
  assert.deepEqual(parsePair('3000'), { local: 3000, host: 'localhost', port: 3000 });
  assert.deepEqual(parsePair('8080:80'), { local: 8080, host: 'localhost', port: 80 });
  assert.deepEqual(parsePair('0:80'), { local: 0, host: 'localhost', port: 80 });
  assert.deepEqual(parsePair('5433:db.internal:5432'), { local: 5433, host: 'db.internal', port: 5432 });
  assert.deepEqual(parsePair('db:5432'), { local: 5432, host: 'db', port: 5432 });
  assert.deepEqual(parsePair('1:10.0.2.3:5'), { local: 1, host: '10.0.2.3', port: 5 });
  assert.deepEqual(parsePair('1:[::1]:5'), { local: 1, host: '::1', port: 5 });
  assert.deepEqual(parseTarget('22'), { host: 'localhost', port: 22 });
  assert.deepEqual(parseTarget(':22'), { host: 'localhost', port: 22 });
  assert.deepEqual(parseTarget('db:22'), { host: 'db', port: 22 });
});

test('anything else is wrong use', () => {
  for (const text of ['', '0', 'x', '70000', '1:2:3:4', '80:0', '99999:80', '1:::1:5', '[::1]', '-1'])
    assert.throws(() => parsePair(text), { code: 'usage' }, text);
  for (const text of ['8080:80', '', 'db', '0']) assert.throws(() => parseTarget(text), { code: 'usage' }, text);
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const { local, port } = parsePair(text);
        assert.ok(local >= 0 && local <= 65_535 && port > 0 && port <= 65_535);
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, 'usage');
      }
    }),
  );
});
