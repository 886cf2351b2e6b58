import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';

checkLeaks();

test('forks of one checkpoint keep its processes and differ in identity, random numbers and clock', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('origin');
  await api.text('origin', 'echo shared > shared; (sleep 1003 </dev/null >/dev/null 2>&1 &)');
  const id = await api.checkpoint('origin');
  const { sprites } = await api.ok('POST', '/v1/sprites/origin/fork', { name: 'twin', checkpoint: id, count: 2 });
  assert.deepEqual(
    sprites.map(({ name }: { name: string }) => name),
    ['twin-1', 'twin-2'],
  );
  const look =
    'cat shared; pgrep -c sleep; hostname; cat /etc/machine-id; cat /run/sylph/generation-id; head -c 16 /dev/urandom | od -An -tx1; date +%s';
  const [a, b, o] = (await Promise.all(['twin-1', 'twin-2', 'origin'].map((name) => api.text(name, look)))).map(
    (text) => text.split('\n'),
  ) as [string[], string[], string[]];
  assert.deepEqual(a.slice(0, 3), ['shared', '1', 'twin-1']);
  assert.deepEqual(b.slice(0, 3), ['shared', '1', 'twin-2']);
  for (const [line, what] of [
    [3, 'machine-id'],
    [4, 'generation id'],
    [5, 'random numbers'],
  ] as const) {
    assert.equal(new Set([a[line], b[line], o[line]]).size, 3, what);
  }
  for (const fork of [a, b]) assert.ok(Math.abs(Number(fork[6]) - Date.now() / 1000) < 30, 'the clock is right');
});

test('a running sprite forks without stopping, and fork and source go their own ways', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('busy');
  await api.text(
    'busy',
    '(i=0; while true; do i=$((i+1)); echo $i > /tmp/m; mv /tmp/m /tmp/n; sleep 0.05; done </dev/null >/dev/null 2>&1 &) ; sleep 0.5',
  );
  await api.ok('POST', '/v1/sprites/busy/fork', { name: 'split' });
  await api.text('split', 'echo mine > own');
  const count =
    'a=$(cat /tmp/n); sleep 1; b=$(cat /tmp/n); [ $b -gt $a ] && echo counting; ls own 2>/dev/null || echo none';
  assert.equal(await api.text('busy', count), 'counting\nnone');
  assert.equal(await api.text('split', count), 'counting\nown');
  await api.ok('POST', '/v1/sprites', { name: 'third', from: { sprite: 'split' }, idle_timeout_s: 0 });
  assert.equal(await api.text('third', 'cat own'), 'mine');
});

test('a fork that cannot be made leaves nothing behind', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('f');
  await api.create('g-2');
  const refused = await api.call('POST', '/v1/sprites/f/fork', { name: 'g', count: 3 });
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, 'name_taken');
  const { sprites } = await api.ok('GET', '/v1/sprites');
  assert.deepEqual(
    sprites.map(({ name }: { name: string }) => name),
    ['f', 'g-2'],
  );
});
