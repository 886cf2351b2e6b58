import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon, vmsBelow } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';
import { until } from '../shell.ts';

checkLeaks();

test('a sprite sleeps and wakes with its memory, and no process remains while it sleeps', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  const created = await api.create('one');
  assert.equal(created.status, 'cold');
  assert.equal(await api.text('one', 'echo hello'), 'hello');
  assert.equal((await api.ok('GET', '/v1/sprites/one')).status, 'running');
  await api.text(
    'one',
    'mount -t tmpfs t /mnt 2>/dev/null || sudo mount -t tmpfs t /mnt; echo kept | sudo tee /mnt/note; (sleep 1000 </dev/null >/dev/null 2>&1 &)',
  );
  for (let round = 1; round <= 3; round++) {
    const asleep = await api.ok('POST', '/v1/sprites/one/suspend');
    assert.equal(asleep.status, 'warm');
    assert.deepEqual(await vmsBelow(daemon.dataDir), []);
    assert.equal(await api.text('one', 'cat /mnt/note; pgrep -c sleep'), 'kept\n1', `round ${round}`);
  }
});

test('a sprite goes to sleep by itself, not while a client is attached, and a session goes on where it was', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'idle-timeout': '2' } });
  const api = new Api(daemon);
  await api.ok('POST', '/v1/sprites', { name: 'idle', config: { ram_mb: 512 } });
  const session = await watch(
    api
      .sprite('idle')
      .createSession('/bin/sh', [
        '-c',
        'i=0; while [ $i -lt 4 ]; do i=$((i+1)); echo line $i; sleep 1; done; echo last; sleep 3600',
      ]),
  );
  await session.sees('last');
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal((await api.ok('GET', '/v1/sprites/idle')).status, 'running', 'a client is attached');
  const { sessions } = await api.ok('GET', '/v1/sprites/idle/exec');
  assert.equal(sessions.length, 1);
  session.command.kill('SIGKILL');
  await session.command.wait();
  await until('it to sleep', async () => (await api.ok('GET', '/v1/sprites/idle')).status === 'warm');
  assert.deepEqual(await vmsBelow(daemon.dataDir), []);
  assert.equal(await api.text('idle', 'echo back'), 'back');
});

test('a detached session survives sleep: its output before and after is one', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('two');
  const session = await watch(
    api
      .sprite('two')
      .createSession('/bin/sh', [
        '-c',
        'echo before; while ! [ -e /tmp/go ]; do sleep 0.2; done; echo after; while ! [ -e /tmp/end ]; do sleep 0.2; done',
      ]),
  );
  await session.sees('before');
  const { sessions } = await api.ok('GET', '/v1/sprites/two/exec');
  await api.ok('POST', '/v1/sprites/two/suspend');
  await api.text('two', 'touch /tmp/go');
  const again = await watch(api.sprite('two').attachSession(sessions[0].id));
  // The one that attached later got a screen, whose lines are set by moves of the cursor.
  await again.sees(/before[^]*after/);
  await session.sees(/before\r?\nafter/);
  await api.text('two', 'touch /tmp/end');
  await Promise.all([session.command.wait(), again.command.wait()]);
});
