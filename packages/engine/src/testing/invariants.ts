import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SpriteId } from '@sylph/model';
import type { Daemon } from './world.ts';

/** What must hold whenever no command is under way: every sprite is in one place, rows say the truth, and nothing half-made lies about. */
export async function assertConsistent(daemon: Daemon): Promise<void> {
  const { world } = daemon;
  const { files, repository } = world;
  const rows = await repository.listSprites({ orgId: daemon.org.id, limit: 1000 });
  assert.deepEqual(
    new Set(files.entries('sprites')),
    new Set(rows.map(({ id }) => id)),
    'directories of sprites and their rows',
  );
  assert.deepEqual(files.entries('transient'), [], 'nothing unfinished in the pool');
  assert.equal(new Set(rows.map(({ uid }) => uid)).size, rows.length, 'users are unique');
  for (const row of rows) {
    const { id, name } = row;
    const machines = world.machines.alive().filter(({ spriteId }) => spriteId === id);
    const entries = files.entries(`sprites/${id}`).filter((entry) => entry !== 'sessions');
    const view = await daemon.sprites.get(daemon.org, name);
    const rest = files.read(`sprites/${id}/rest/snapshot.json`);
    assert.ok(machines.length <= 1, `${name} has ${machines.length} VMs`);
    if (view.state === 'running') {
      assert.equal(machines.length, 1, `${name} is running`);
      assert.deepEqual(
        entries,
        [machines[0]?.dir.split('/').at(-1)],
        `${name} runs, so it has a VM's directory and no rest`,
      );
      assert.equal(machines[0]?.paused, false, `${name} runs on`);
      assert.equal(row.lastState, 'awake', `${name}: row of a running sprite`);
      assert.ok(daemon.network.attached.has(id), `${name} is attached to the network`);
    } else {
      assert.ok(view.state === 'asleep' || view.state === 'failed', `${name} rests as ${view.state}`);
      assert.equal(machines.length, 0, `${name} has a VM while ${view.state}`);
      assert.deepEqual(
        entries,
        rest === undefined ? [] : ['rest'],
        `${name} is ${view.state}, so it has a rest and no VM's directory`,
      );
      assert.ok(!daemon.network.attached.has(id), `${name} is not attached to the network`);
      if (view.state === 'failed') assert.equal(row.lastState, 'failed', `${name}: row of a failed sprite`);
      else if (row.lastState !== 'new')
        assert.equal(
          row.lastState,
          (JSON.parse(rest ?? '{}') as { kind?: string }).kind,
          `${name}: row of a sprite at rest`,
        );
    }
    await assertCheckpoints(daemon, id);
  }
  const channels = [...daemon.channels.open].map(({ machine }) => machine);
  const awake = rows.flatMap(({ id }) => world.machines.alive().filter(({ spriteId }) => spriteId === id));
  assert.equal(channels.length, awake.length, 'one channel per VM');
  assert.equal(world.machines.alive().length, awake.length, 'no VM without a sprite');
}

async function assertCheckpoints(daemon: Daemon, id: SpriteId): Promise<void> {
  const { files, repository } = daemon.world;
  const rows = await repository.checkpoints(id);
  assert.deepEqual(
    new Set(files.entries(`checkpoints/${id}`)),
    new Set(rows.map((row) => row.id)),
    'directories of checkpoints and their rows',
  );
  const sprite = await repository.sprite(id);
  const current = sprite?.currentCheckpoint;
  if (current)
    assert.ok(
      rows.some((row) => row.id === current),
      `the present's checkpoint ${current} exists`,
    );
}

/** Timers that keep the process alive; each belongs to somebody awake. */
export function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

/** Ends a daemon and asserts that nothing of it is left; `timersBefore` there were before it. */
export async function assertClosed(daemon: Daemon, timersBefore: number): Promise<void> {
  await daemon.sprites.close('suspend');
  await settled();
  assert.equal(daemon.channels.open.size, 0, 'channels are closed');
  assert.equal(daemon.keeper.opened.size, 0, 'journals are closed');
  for (let look = 0; timers() > timersBefore && look < 50; look++) await sleep(5, undefined, { ref: false });
  assert.ok(timers() <= timersBefore, `${timers() - timersBefore} timers are left`);
}

/** Lets what is under way come to rest. */
export async function settled(turns = 60): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}
