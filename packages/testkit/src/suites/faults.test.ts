// A guest whose agent hangs, and a pool without room: what was acknowledged stays, what cannot be done is refused with the reason, and all goes on when the trouble is over.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';
import { shell, until } from '../shell.ts';

checkLeaks();

const fillRounds = 4;

test('a full pool: a sprite that cannot be captured runs on, no half snapshot is seen, and all goes on with room', async () => {
  await using daemon = await TestDaemon.start({ ownFileSystemGib: 8 });
  const api = new Api(daemon);
  await api.create('there');
  // More changed memory than the file system can find by giving up what it keeps in reserve.
  await api.text('there', 'echo kept > file; yes | head -c 150000000 > /dev/shm/large');
  const filler = path.join(daemon.dataDir, 'filler');
  await fill(filler);
  const asleep = await api.call('POST', '/v1/sprites/there/suspend');
  assert.equal(asleep.status, 507, JSON.stringify(asleep.body));
  assert.equal(asleep.body.code, 'pool_full');
  assert.ok(asleep.body.hint.length > 0);
  const [last] = (await api.lines('POST', '/v1/sprites/there/checkpoint', {})).slice(-1);
  assert.equal(last?.type, 'error');
  assert.match(JSON.stringify(last), /the pool is full/);
  assert.equal((await api.ok('GET', '/v1/sprites/there')).status, 'running');
  await fs.rm(filler);
  assert.deepEqual(
    (await api.ok('GET', '/v1/sprites/there/checkpoints')).map(({ id }: { id: string }) => id),
    ['Current'],
  );
  assert.equal(await api.text('there', 'cat file'), 'kept');
  await api.ok('POST', '/v1/sprites/there/suspend');
  assert.equal(await api.text('there', 'cat file; wc -c < /dev/shm/large'), 'kept\n150000000');
});

/** Stops every thread of the guest's first process as a debugger does, for as long as the script lives: signals do not reach that process. */
const hangAgent = `import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
for thread in os.listdir('/proc/1/task'):
    if libc.ptrace(16, int(thread), 0, 0) != 0: raise OSError(ctypes.get_errno(), thread)
time.sleep(3600)`;

test('an agent that hangs costs the memory, never the disk: the sprite boots at its next use and says why', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'agent-silence': '10' } });
  const api = new Api(daemon);
  await api.create('hung');
  await api.text('hung', 'echo kept > file; sync');
  const { command } = await watch(api.sprite('hung').spawn('sudo', ['python3', '-c', hangAgent]));
  await until(
    'the daemon to give the VM up',
    async () => (await api.ok('GET', '/v1/sprites/hung')).status !== 'running' || undefined,
    { timeoutMs: 60_000 },
  );
  assert.match((await api.ok('GET', '/v1/sprites/hung')).reason, /its agent stopped answering/);
  assert.equal(await api.text('hung', 'cat file'), 'kept');
  assert.notEqual(await command.wait(), 0, 'no good end is invented');
  assert.equal((await api.ok('GET', '/v1/sprites/hung')).last_start.how, 'disk');
});

/** Takes what the file system has left, down to small pieces; again and again, for what was removed just before is given back late. */
async function fill(file: string): Promise<void> {
  const handle = await fs.open(file, 'wx');
  await handle.close();
  for (let round = 0, offset = 0; round < fillRounds; round += 1) {
    for (let bytes = 16 * 2 ** 30; bytes >= 2 ** 16;) {
      try {
        await shell('fallocate', ['--offset', String(offset), '--length', String(bytes), file]);
        offset += bytes;
      } catch {
        // Not so much is left.
        bytes /= 2;
      }
    }
    await sleep(1000);
  }
}
