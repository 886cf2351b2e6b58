// The daemon is killed at named points, QEMU and the guest while they are used: nothing acknowledged is lost, nothing half-made is visible, and the sprite runs from the best state there is.
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

/** Disposes whatever daemon a test ended up with. The failpoints are those of the first. */
async function withDaemon(work: (hold: { daemon: TestDaemon }) => Promise<void>, failpoints?: string): Promise<void> {
  const hold = { daemon: await TestDaemon.start(failpoints === undefined ? {} : { failpoints }) };
  try {
    await work(hold);
  } finally {
    await hold.daemon[Symbol.asyncDispose]();
  }
}

/** Every request at a failpoint: the daemon dies in the middle of it, or answers before. */
async function dying(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined);
}

/** Files of the pool nobody but the sweep should ever see. */
async function unfinished(dataDir: string): Promise<string[]> {
  return (await fs.readdir(path.join(dataDir, 'pool'), { recursive: true })).filter((name) =>
    /(^|\/)(new|rm)-[^/]*$/.test(name),
  );
}

test('killed while a command runs: the daemon adopts the VM, and the output is whole', async () => {
  await withDaemon(async (hold) => {
    const api = new Api(hold.daemon);
    await api.create('a');
    const command = await watch(
      api
        .sprite('a')
        .createSession('/bin/sh', [
          '-c',
          'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; echo done; sleep 3600',
        ]),
    );
    await command.sees('line 10');
    const [vm] = await vmsBelow(hold.daemon.dataDir);
    hold.daemon = await hold.daemon.restart('kill');
    assert.deepEqual(await vmsBelow(hold.daemon.dataDir), [vm], 'the same VM');
    await command.command.wait();
    const after = new Api(hold.daemon);
    assert.equal((await after.ok('GET', '/v1/sprites/a')).status, 'running');
    const [session] = await after.sprite('a').listSessions();
    assert.ok(session);
    const again = await watch(after.sprite('a').attachSession(session.id));
    await again.sees('done');
    // The screen with what has scrolled away, then live output.
    const lines = [...again.stdout().matchAll(/line \d+/g)].map(([line]) => line);
    assert.deepEqual(
      lines,
      Array.from({ length: 60 }, (_, i) => `line ${i + 1}`),
    );
    again.command.kill('SIGKILL');
    await again.command.wait();
  });
});

for (const point of ['create.before-row', 'create.after-row'] as const) {
  test(`killed at ${point}: the sprite exists wholly or not at all`, async () => {
    await withDaemon(async (hold) => {
      await dying(new Api(hold.daemon).create('half'));
      await hold.daemon.ended();
      hold.daemon = await hold.daemon.restart('kill');
      const api = new Api(hold.daemon);
      const { sprites } = await api.ok('GET', '/v1/sprites');
      assert.equal(sprites.length, point === 'create.before-row' ? 0 : 1);
      assert.deepEqual(await unfinished(hold.daemon.dataDir), []);
      const directories = await fs.readdir(path.join(hold.daemon.dataDir, 'pool/sprites'));
      assert.equal(directories.length, sprites.length);
      if (sprites.length > 0) assert.equal(await api.text('half', 'echo runs'), 'runs');
      else await api.create('half');
    }, `${point}=kill`);
  });
}

for (const point of [
  'start.vm-running',
  'start.agent-answered',
  'start.rest-dropped',
  'suspend.captured',
  'suspend.published',
  'suspend.vm-ended',
] as const) {
  test(`killed at ${point}: memory and files are there afterwards`, async () => {
    await withDaemon(
      async (hold) => {
        const first = new Api(hold.daemon);
        await first.create('s');
        await first.text(
          's',
          'echo kept > file; sync; echo kept > /dev/shm/file; (sleep 1004 </dev/null >/dev/null 2>&1 &)',
        );
        if (point.startsWith('start')) await first.ok('POST', '/v1/sprites/s/suspend');
        // A start is what `create` and its first command pass too.
        if (point.startsWith('start')) hold.daemon = await hold.daemon.restart('kill', { failpoints: `${point}=kill` });
        const api = new Api(hold.daemon);
        await dying(api.ok('POST', `/v1/sprites/s/${point.startsWith('start') ? 'start' : 'suspend'}`));
        await hold.daemon.ended();
        hold.daemon = await hold.daemon.restart('kill');
        const after = new Api(hold.daemon);
        assert.equal(await after.text('s', 'cat file /dev/shm/file; pgrep -c sleep'), 'kept\nkept\n1');
        assert.deepEqual(await unfinished(hold.daemon.dataDir), []);
        assert.equal((await vmsBelow(hold.daemon.dataDir)).length, 1);
      },
      point.startsWith('start') ? undefined : `${point}=kill`,
    );
  });
}

for (const point of ['checkpoint.captured', 'checkpoint.published', 'checkpoint.row-written'] as const) {
  test(`killed at ${point}: the checkpoint is listed only if it can be restored`, async () => {
    await withDaemon(async (hold) => {
      await new Api(hold.daemon).create('c');
      await new Api(hold.daemon).text('c', 'echo one > file');
      await dying(new Api(hold.daemon).checkpoint('c'));
      await hold.daemon.ended();
      hold.daemon = await hold.daemon.restart('kill');
      const api = new Api(hold.daemon);
      assert.equal(await api.text('c', 'cat file'), 'one', 'the sprite runs on');
      const listed = (await api.ok('GET', '/v1/sprites/c/checkpoints')).filter(
        ({ id }: { id: string }) => id !== 'Current',
      );
      assert.equal(listed.length, point === 'checkpoint.row-written' ? 1 : 0);
      const next = await api.checkpoint('c');
      await api.text('c', 'rm file');
      await api.restore('c', next);
      assert.equal(await api.text('c', 'cat file'), 'one');
    }, `${point}=kill`);
  });
}

for (const point of ['restore.present-saved', 'start.vm-running', 'start.rest-dropped'] as const) {
  test(`killed at ${point} of a restore: the sprite is at the checkpoint or at the present, and the present is saved`, async () => {
    await withDaemon(async (hold) => {
      const first = new Api(hold.daemon);
      await first.create('r');
      await first.text('r', 'echo past > file');
      const id = await first.checkpoint('r');
      await first.text('r', 'echo present > file');
      hold.daemon = await hold.daemon.restart('kill', { failpoints: `${point}=kill` });
      await dying(new Api(hold.daemon).restore('r', id));
      await hold.daemon.ended();
      hold.daemon = await hold.daemon.restart('kill');
      const api = new Api(hold.daemon);
      const found = await api.text('r', 'cat file');
      assert.equal(found, point === 'start.rest-dropped' ? 'past' : 'present');
      const all = await api.ok('GET', '/v1/sprites/r/checkpoints?includeAuto=true');
      const saved = all.find(({ is_auto: automatic }: { is_auto: boolean }) => automatic);
      await api.restore('r', saved.id);
      assert.equal(await api.text('r', 'cat file'), 'present');
    });
  });
}

for (const [point, count] of [
  ['fork.captured', 0],
  ['fork.one-created', 0],
  ['create.after-row', 2],
] as const) {
  test(`killed at ${point}: every sprite that is listed runs`, async () => {
    await withDaemon(async (hold) => {
      await new Api(hold.daemon).create('f');
      await new Api(hold.daemon).text('f', 'echo x > file');
      hold.daemon = await hold.daemon.restart('kill', { failpoints: `${point}=kill` });
      await dying(new Api(hold.daemon).ok('POST', '/v1/sprites/f/fork', { name: 'g', count: 2 }));
      await hold.daemon.ended();
      hold.daemon = await hold.daemon.restart('kill');
      const api = new Api(hold.daemon);
      const { sprites } = await api.ok('GET', '/v1/sprites');
      assert.equal(sprites.length, 1 + count);
      for (const { name } of sprites) assert.equal(await api.text(name, 'cat file'), 'x');
      assert.deepEqual(await unfinished(hold.daemon.dataDir), []);
    });
  });
}

test('killed at delete.row-removed: the sprite is gone, and so are its files', async () => {
  await withDaemon(async (hold) => {
    await new Api(hold.daemon).create('d');
    await new Api(hold.daemon).text('d', 'true');
    await dying(new Api(hold.daemon).ok('DELETE', '/v1/sprites/d'));
    await hold.daemon.ended();
    hold.daemon = await hold.daemon.restart('kill');
    assert.equal((await new Api(hold.daemon).call('GET', '/v1/sprites/d')).status, 404);
    assert.deepEqual(await fs.readdir(path.join(hold.daemon.dataDir, 'pool/sprites')), []);
    assert.deepEqual(await vmsBelow(hold.daemon.dataDir), []);
  }, 'delete.row-removed=kill');
});

test('killed at restart.vm-ended (also of an upgrade): the disk is whole', async () => {
  await withDaemon(async (hold) => {
    await new Api(hold.daemon).create('u');
    await new Api(hold.daemon).text('u', 'echo kept > file; sync');
    await dying(new Api(hold.daemon).ok('POST', '/v1/sprites/u/upgrade'));
    await hold.daemon.ended();
    hold.daemon = await hold.daemon.restart('kill');
    assert.equal(await new Api(hold.daemon).text('u', 'cat file'), 'kept');
  }, 'restart.vm-ended=kill');
});

test('QEMU killed: the session is lost, never exit 0, and the sprite boots from its disk with the reason told', async () => {
  await withDaemon(async (hold) => {
    const api = new Api(hold.daemon);
    await api.create('q');
    await api.text('q', 'echo kept > file; sync');
    const { command } = await watch(api.sprite('q').spawn('sleep', ['3600']));
    const [vm] = await vmsBelow(hold.daemon.dataDir);
    process.kill(vm as number, 'SIGKILL');
    const code = await command.wait();
    assert.notEqual(code, 0);
    await until('the loss to be noticed', async () => (await api.ok('GET', '/v1/sprites/q')).status === 'cold');
    assert.match((await api.ok('GET', '/v1/sprites/q')).reason, /VM ended/);
    assert.equal(await api.text('q', 'cat file'), 'kept');
    assert.equal((await api.ok('GET', '/v1/sprites/q')).last_start.how, 'disk');
  });
});

test('a guest whose user kills everything stays usable; a guest that powers off boots again', async () => {
  await withDaemon(async (hold) => {
    const api = new Api(hold.daemon);
    await api.create('k');
    await api.sh('k', 'sudo kill -9 -1');
    assert.equal(await api.text('k', 'echo alive'), 'alive');
    await api.text('k', 'echo kept > file; sync');
    await api.sh('k', 'echo o | sudo tee /proc/sysrq-trigger; sleep 5').catch(() => undefined);
    await until('the end to be noticed', async () => (await api.ok('GET', '/v1/sprites/k')).status === 'cold', {
      timeoutMs: 60_000,
    });
    assert.equal(await api.text('k', 'cat file'), 'kept');
  });
});

for (const [what, damage] of [
  ['a truncated RAM file', (rest: string) => fs.truncate(path.join(rest, 'ram'), 4096)],
  ['corrupt device state', async (rest: string) => overwrite(path.join(rest, 'dev'), 100)],
  ['a missing device state', (rest: string) => fs.rm(path.join(rest, 'dev'))],
] as const) {
  test(`${what}: the sprite boots from its disk, the reason is told, and the memory is kept as a checkpoint`, async () => {
    await withDaemon(async (hold) => {
      const api = new Api(hold.daemon);
      const { id } = await api.create('t');
      await api.text('t', 'echo kept > file; sync');
      await api.ok('POST', '/v1/sprites/t/suspend');
      const rest = path.join(hold.daemon.dataDir, 'pool/sprites', id, 'rest');
      // A hard link is damaged with all its names: cut ours loose first.
      for (const name of ['ram', 'dev']) {
        await fs.copyFile(path.join(rest, name), path.join(rest, 'copy'), fs.constants.COPYFILE_FICLONE_FORCE);
        await fs.chmod(path.join(rest, 'copy'), 0o644);
        await fs.rename(path.join(rest, 'copy'), path.join(rest, name));
      }
      await damage(rest);
      assert.equal(await api.text('t', 'cat file'), 'kept');
      const sprite = await api.ok('GET', '/v1/sprites/t');
      assert.equal(sprite.last_start.how, 'disk');
      assert.equal(sprite.last_start.failures[0].how, 'memory');
      assert.ok(sprite.reason);
    });
  });
}

async function overwrite(file: string, at: number): Promise<void> {
  const handle = await fs.open(file, 'r+');
  await handle.write(Buffer.alloc(64, 0xff), 0, 64, at);
  await handle.close();
}

test('a checkpoint that fails behind its capture leaves nothing, and the sprite runs on', async () => {
  await withDaemon(async (hold) => {
    const api = new Api(hold.daemon);
    await api.create('p');
    await api.text('p', 'echo here > file');
    const lines = await api.lines('POST', '/v1/sprites/p/checkpoint');
    assert.equal(lines.at(-1)?.type, 'error');
    assert.equal(await api.text('p', 'cat file'), 'here');
    assert.deepEqual(await unfinished(hold.daemon.dataDir), []);
  }, 'checkpoint.captured=throw');
});
