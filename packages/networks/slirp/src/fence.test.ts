import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fenceRules, lowerFence, raiseFence } from './fence.ts';

const run = promisify(execFile);

test('the rules name the resolvers before they close the loopback', () => {
  const rules = fenceRules({ first: 1000, last: 1010 }, ['127.0.0.53', 'fe80::1']);
  assert.ok(rules.indexOf('ip daddr 127.0.0.53') < rules.indexOf('oif "lo" reject'));
  assert.match(rules, /ip6 daddr fe80::1 meta l4proto/);
});

test('a fenced user cannot reach a server on the loopback, others can', async () => {
  const range = { first: 3_900_000_001, last: 3_900_000_010 };
  const server = net.createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  const dial = (uid: number): Promise<unknown> =>
    run('setpriv', [
      `--reuid=${uid}`,
      '--clear-groups',
      'bash',
      '-c',
      `exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3`,
    ]).then(
      ({ stdout }) => stdout,
      () => 'refused',
    );
  try {
    assert.equal(await raiseFence(range), undefined);
    assert.equal(await dial(range.first), 'refused');
    assert.equal(await dial(range.last + 1), 'hello');
    assert.equal(await raiseFence(range), undefined, 'raising it again replaces it');
    await lowerFence(range);
    assert.equal(await dial(range.first), 'hello');
  } finally {
    await lowerFence(range);
    server.close();
  }
});
