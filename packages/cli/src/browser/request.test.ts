import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRequest } from './request.ts';

const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

test('addresses, with and without ports', () => {
  assert.deepEqual(parseRequest('http://localhost:3000/a?b=c'), { url: 'http://localhost:3000/a?b=c', ports: [] });
  assert.deepEqual(parseRequest('https://x.org/;3000'), { url: 'https://x.org/', ports: [3000] });
  assert.deepEqual(parseRequest('https://x.org/a;b;80,80,0,70000,443'), { url: 'https://x.org/a;b', ports: [80, 443] });
  assert.deepEqual(parseRequest('https://x.org/a;b'), { url: 'https://x.org/a;b', ports: [] });
  assert.equal(
    parseRequest(`http://x/;${Array.from({ length: 99 }, (_, index) => index + 1).join(',')}`)?.ports.length,
    16,
  );
  assert.equal(parseRequest(utf8('http://bücher.example/ü'))?.url, 'http://xn--bcher-kva.example/%C3%BC');
});

test('nothing else', () => {
  for (const text of [
    '',
    'x',
    '/etc/passwd',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'ftp://x/',
    'http://',
    '--version',
    'http://x/a b',
    'http://x/\x07',
    'http://x/\xff',
    utf8('http://x/\u0085'),
    utf8('http://x/\u202egro.elgoog'),
    utf8('http://x/\u2028'),
  ])
    assert.equal(parseRequest(text), undefined, JSON.stringify(text));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const found = parseRequest(utf8(`http://${text}`));
      if (found !== undefined) assert.match(found.url, /^https?:\/\/[!-~]+$/);
    }),
  );
});
