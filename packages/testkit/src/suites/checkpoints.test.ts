import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';

checkLeaks();

test('a restore brings back files and running processes, and saves the present first', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('cp');
  await api.text('cp', 'echo one > note; sync; (sleep 1001 </dev/null >/dev/null 2>&1 &)');
  const first = await api.checkpoint('cp', 'first');
  assert.equal(first, 'v0');
  await api.text('cp', 'rm note; pkill sleep; echo two > other');
  const second = await api.checkpoint('cp');
  assert.equal(second, 'v1');

  await api.restore('cp', first);
  assert.equal(await api.text('cp', 'cat note; pgrep -c sleep; ls other 2>/dev/null || echo gone'), 'one\n1\ngone');
  const listed = await api.ok('GET', '/v1/sprites/cp/checkpoints');
  assert.deepEqual(
    listed.map(({ id }: { id: string }) => id),
    ['Current', 'v1', 'v0'],
  );
  const all = await api.ok('GET', '/v1/sprites/cp/checkpoints?includeAuto=true');
  const saved = all.find(({ is_auto: automatic }: { is_auto: boolean }) => automatic);
  assert.match(saved.id, /^auto-/);
  assert.equal(saved.source_id, 'v1');

  await api.restore('cp', saved.id);
  assert.equal(await api.text('cp', 'cat other; ls note 2>/dev/null || echo gone'), 'two\ngone');

  await api.restore('cp', first, { mode: 'disk' });
  assert.equal(await api.text('cp', 'cat note; pgrep -c sleep || true'), 'one\n0');
});

test('a sleeping sprite is checkpointed without waking it', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('napping');
  await api.text('napping', 'echo x > x; (sleep 1002 </dev/null >/dev/null 2>&1 &)');
  await api.ok('POST', '/v1/sprites/napping/suspend');
  const id = await api.checkpoint('napping');
  assert.equal((await api.ok('GET', '/v1/sprites/napping')).status, 'warm');
  await api.text('napping', 'rm x; pkill sleep');
  await api.restore('napping', id);
  assert.equal(await api.text('napping', 'cat x; pgrep -c sleep'), 'x\n1');
});

test('checkpoints are deleted, but not the one the present descends from', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('del');
  const first = await api.checkpoint('del');
  const second = await api.checkpoint('del');
  const refused = await api.call('DELETE', `/v1/sprites/del/checkpoints/${second}`);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, 'checkpoint_in_use');
  assert.equal((await api.call('DELETE', `/v1/sprites/del/checkpoints/${first}`)).status, 204);
  assert.equal((await api.call('GET', `/v1/sprites/del/checkpoints/${first}`)).status, 404);
  const lines = await api.lines('POST', `/v1/sprites/del/checkpoints/${first}/restore`);
  assert.equal(lines.at(-1)?.type, 'error');
  assert.match(lines.at(-1)?.error ?? '', /^Failed to restore checkpoint:/);
  assert.equal(await api.text('del', 'echo unharmed'), 'unharmed');
});

test('sessions at a checkpoint are there after the restore, with their output as it was then', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('sess');
  const session = await watch(
    api
      .sprite('sess')
      .createSession('/bin/sh', [
        '-c',
        'echo early; while ! [ -e /tmp/go ]; do sleep 0.2; done; echo late; sleep 3600',
      ]),
  );
  await session.sees('early');
  const id = await api.checkpoint('sess');
  await api.text('sess', 'touch /tmp/go');
  await session.sees('late');
  await api.restore('sess', id);
  await session.command.wait();
  const { sessions } = await api.ok('GET', '/v1/sprites/sess/exec');
  assert.equal(sessions.length, 1);
  const again = await watch(api.sprite('sess').attachSession(sessions[0].id));
  await again.sees('early');
  assert.doesNotMatch(again.stdout(), /late/, 'the second line belongs to a future that was taken back');
  await api.text('sess', 'touch /tmp/go');
  await again.sees('late');
  again.command.kill('SIGKILL');
  await again.command.wait();
});
