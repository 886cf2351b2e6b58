// QEMU is killed at named points of what the daemon does with it, and the guest panics: what was acknowledged is there, what was not is not seen, and the sprite runs from the best state there is.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon, vmsBelow } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';
import { until } from '../shell.ts';

checkLeaks();

/** A daemon with a sprite `v` that has a file on its disk and a word in its memory. */
class Held implements AsyncDisposable {
  readonly api: Api;
  readonly #daemon: TestDaemon;
  readonly #file: string;

  private constructor(daemon: TestDaemon, file: string) {
    this.api = new Api(daemon);
    this.#daemon = daemon;
    this.#file = file;
  }

  /** It stops at a point the first time it passes there. */
  static async at(point: string): Promise<Held> {
    const first = await TestDaemon.start();
    const file = path.join(first.dataDir, 'held');
    const api = new Api(first);
    await api.create('v');
    await api.text('v', 'echo kept > file; sync; echo word > /dev/shm/word');
    return new Held(await first.restart('stop', { failpoints: `${point}=hold:${file}` }), file);
  }

  /** Does something during which the point is passed, and kills all VMs there. Resolves with whether it was done all the same. */
  async killDuring(work: () => Promise<unknown>): Promise<boolean> {
    const done = work().then(
      () => true,
      () => false,
    );
    await until('the point to be reached', () => exists(this.#file), { timeoutMs: 60_000 });
    for (const pid of await vmsBelow(this.#daemon.dataDir)) process.kill(pid, 'SIGKILL');
    await until('the VMs to be gone', async () => (await vmsBelow(this.#daemon.dataDir)).length === 0);
    await fs.rm(this.#file);
    return done;
  }

  /** Nothing half-made is left, and the sprite works. */
  async usable(): Promise<void> {
    assert.equal(await this.api.text('v', 'cat file; echo more >> file; wc -l < file'), 'kept\n2');
    await this.api.ok('POST', '/v1/sprites/v/suspend');
    const names = await fs.readdir(path.join(this.#daemon.dataDir, 'pool'), { recursive: true });
    assert.deepEqual(
      names.filter((name) => /(^|\/)new-[^/]*$/.test(name)),
      [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await fs.rm(this.#file, { force: true });
    await this.#daemon[Symbol.asyncDispose]();
  }
}

async function exists(file: string): Promise<boolean> {
  return (await fs.stat(file).catch(() => undefined)) !== undefined;
}

const read = 'cat file; cat /dev/shm/word 2>/dev/null || echo gone';

for (const point of ['start.vm-running', 'start.agent-answered']) {
  test(`the VM dies at ${point}: the sprite runs at once or at its next use, with its disk`, async () => {
    await using held = await Held.at(point);
    await held.killDuring(() => held.api.ok('POST', '/v1/sprites/v/start'));
    await held.usable();
  });
}

test('the VM dies at suspend.captured: what was captured is what wakes', async () => {
  await using held = await Held.at('suspend.captured');
  await held.api.ok('POST', '/v1/sprites/v/start');
  const slept = await held.killDuring(() => held.api.ok('POST', '/v1/sprites/v/suspend'));
  const now = await held.api.text('v', read);
  assert.equal(now, slept ? 'kept\nword' : 'kept\ngone');
  await held.usable();
});

test('the VM dies at checkpoint.captured: the checkpoint is listed only if it can be restored', async () => {
  await using held = await Held.at('checkpoint.captured');
  await held.api.ok('POST', '/v1/sprites/v/start');
  let id: string | undefined;
  await held.killDuring(async () => (id = await held.api.checkpoint('v')));
  const listed = (await held.api.ok('GET', '/v1/sprites/v/checkpoints'))
    .map((checkpoint: { id: string }) => checkpoint.id)
    .filter((name: string) => name !== 'Current' && !name.startsWith('auto-'));
  assert.deepEqual(listed, id === undefined ? [] : [id]);
  await held.usable();
  if (id === undefined) return;
  // As it was then.
  await held.api.lines('POST', `/v1/sprites/v/checkpoints/${id}/restore`);
  assert.equal(await held.api.text('v', read), 'kept\nword');
});

test('the VM dies at fork.captured: a fork is listed only if it runs', async () => {
  await using held = await Held.at('fork.captured');
  await held.api.ok('POST', '/v1/sprites/v/start');
  const made = await held.killDuring(() => held.api.ok('POST', '/v1/sprites/v/fork', { name: 'w' }));
  assert.equal((await held.api.call('GET', '/v1/sprites/w')).status, made ? 200 : 404);
  if (made) assert.equal(await held.api.text('w', read), 'kept\nword');
  await held.usable();
});

test('the guest panics while a command runs: no exit is invented, and the sprite boots from its disk with the reason told', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  await api.create('v');
  await api.text('v', 'echo kept > file; sync; echo word > /dev/shm/word');
  const { command } = await watch(api.sprite('v').spawn('sleep', ['3600']));
  await api.sh('v', 'echo c | sudo tee /proc/sysrq-trigger; sleep 60').catch(() => undefined);
  assert.notEqual(await command.wait(), 0);
  await until('the end to be noticed', async () => (await api.ok('GET', '/v1/sprites/v')).status === 'cold', {
    timeoutMs: 60_000,
  });
  assert.ok((await api.ok('GET', '/v1/sprites/v')).reason);
  assert.equal(await api.text('v', read), 'kept\ngone');
});
