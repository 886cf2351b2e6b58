import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failpointNames, type FailpointName } from './failpoints.ts';
import { agentFailed, poolFull, rejects, Scenario } from './testing/scenario.ts';

/** The command during which the daemon reaches each point. Before it, `one` runs, holds `present`, session 1 and checkpoint v0 of `past`. */
const commands: Record<FailpointName, (on: Scenario) => Promise<unknown>> = {
  'create.before-row': (on) => on.create('two'),
  'create.after-row': (on) => on.create('two'),
  'genesis.captured': (on) => on.create('two', { config: { cpus: 1 } }),
  'start.vm-running': (on) => on.start('one'),
  'start.agent-answered': (on) => on.start('one'),
  'start.rest-dropped': (on) => on.start('one'),
  'suspend.captured': (on) => on.suspend('one'),
  'suspend.published': (on) => on.suspend('one'),
  'suspend.vm-ended': (on) => on.suspend('one'),
  'checkpoint.captured': (on) => on.checkpoint('one'),
  'checkpoint.published': (on) => on.checkpoint('one'),
  'checkpoint.row-written': (on) => on.checkpoint('one'),
  'restore.present-saved': (on) => on.restore('one', 'v0'),
  'restore.answered': (on) => on.restore('one', 'v0'),
  'fork.captured': (on) => on.fork('one', 'copy'),
  'fork.one-created': (on) => on.fork('one', 'copy'),
  'delete.row-removed': (on) => on.delete('one'),
  'restart.vm-ended': (on) => on.restart('one'),
};
/** Points after which the sprite is, or may be, at the checkpoint; booted; or gone. */
const afterwards: Partial<Record<FailpointName, { memory: string; disk: string; sessions: string[] } | 'gone'>> = {
  'restore.answered': { memory: 'past', disk: 'past', sessions: [] },
  'restart.vm-ended': { memory: 'booted present', disk: 'present', sessions: [] },
  'delete.row-removed': 'gone',
};

async function withPast(): Promise<Scenario> {
  const on = await Scenario.running('past');
  await on.checkpoint('one');
  await on.world.write('one', 'present');
  await on.run('one');
  return on;
}

describe('a daemon killed', () => {
  for (const point of failpointNames) {
    it(`at ${point} loses nothing acknowledged and leaves nothing half-made`, async () => {
      const on = await withPast();
      if (point.startsWith('start.')) await on.suspend('one');
      on.daemon.dieAt(point);
      await on.dieDuring(commands[point](on));
      await on.consistent();
      const after = afterwards[point] ?? { memory: 'present', disk: 'present', sessions: ['1'] };
      if (after === 'gone') {
        await rejects(on.get('one'), 'sprite_not_found');
        return on.end();
      }
      await on.start('one');
      assert.deepEqual(await on.world.read('one'), { memory: after.memory, disk: after.disk });
      assert.deepEqual(await on.runs('one'), after.sessions);
      assert.ok((await on.checkpoints('one')).includes('v0'));
      await on.restore('one', 'v0');
      assert.equal((await on.world.read('one')).disk, 'past');
      await on.end();
    });
  }
});

describe('a daemon started again', () => {
  it('adopts what runs, and what a capture left paused', async () => {
    const on = await withPast();
    on.daemon.crash();
    (await on.world.machine('one')).paused = true;
    await on.reboot();
    assert.deepEqual(on.daemon.notices, []);
    assert.equal((await on.get('one')).state, 'running');
    assert.deepEqual(await on.runs('one'), ['1']);
    await on.suspend('one');
    await on.start('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    await on.end();
  });

  it('makes the disk of a VM that is gone what the sprite rests on, and says so', async () => {
    const on = await withPast();
    on.daemon.crash();
    (await on.world.machine('one')).end('died', 'the host was restarted');
    await on.reboot();
    assert.match(on.daemon.notices.join(), /one: its VM did not survive/);
    await on.consistent();
    const view = await on.get('one');
    assert.deepEqual([view.state, view.row.lastState], ['asleep', 'disk']);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    assert.match((await on.sessions('one')).journals().get('1')?.lost ?? '', /did not survive/);
    await on.end();
  });

  it('tries again later what it could not recover', async () => {
    const on = await withPast();
    on.daemon.crash();
    (await on.world.machine('one')).end('died', 'the host was restarted');
    await on.reboot(({ gate }) => gate.fail('store.draftRest', poolFull));
    assert.match(on.daemon.notices.join(), /could not be recovered: the pool is full/);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.end();
  });

  it('goes to the newest checkpoint when a sprite has no files left', async () => {
    const on = await withPast();
    on.daemon.crash();
    const machine = await on.world.machine('one');
    machine.end('died', 'the host was restarted');
    on.world.files.removeTree(machine.dir);
    await on.reboot();
    assert.match(on.daemon.notices.join(), /files are missing/);
    await on.start('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'booted past', disk: 'past' });
    await on.end();
  });

  it('finds a sprite failed that has nothing left at all', async () => {
    const on = await Scenario.running('x');
    on.daemon.crash();
    const machine = await on.world.machine('one');
    machine.end('died', 'the host was restarted');
    on.world.files.removeTree(machine.dir);
    await on.reboot();
    assert.equal((await on.get('one')).state, 'failed');
    await rejects(on.recover('one'), 'sprite_failed', /nothing to start it from/);
    await on.delete('one');
    await on.end();
  });

  it('finds a sprite failed whose rest cannot be read, and restores it', async () => {
    const on = await withPast();
    on.daemon.dieAt('suspend.published');
    await Promise.race([on.suspend('one'), on.daemon.died]);
    const { id } = await on.world.row('one');
    on.world.files.write(`sprites/${id}/rest/snapshot.json`, 'damaged');
    await on.reboot();
    assert.equal((await on.get('one')).state, 'failed');
    await on.consistent();
    await on.recover('one');
    assert.equal((await on.get('one')).row.lastStart?.how, 'checkpoint');
    await on.end();
  });

  it('recovers many at once', async () => {
    const on = await Scenario.open();
    const names = Array.from({ length: 12 }, (_, index) => `s${index}`);
    for (const name of names) {
      await on.create(name);
      await on.start(name);
      await on.world.write(name, name);
    }
    on.daemon.crash();
    for (const name of names.slice(0, 6)) (await on.world.machine(name)).end('died', 'shot');
    await on.reboot();
    assert.equal(on.daemon.notices.length, 6);
    await on.consistent();
    for (const name of names) {
      await on.start(name);
      assert.equal((await on.world.read(name)).disk, name);
    }
    await on.end();
  });
});

describe('a VM', () => {
  it('that dies leaves its disk, loses its sessions and says why', async () => {
    const on = await withPast();
    (await on.world.machine('one')).end('died', 'shot');
    await on.consistent();
    const view = await on.get('one');
    assert.deepEqual([view.state, view.status, view.row.lastState], ['asleep', 'cold', 'disk']);
    assert.match(view.row.reason ?? '', /shot/);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.end();
  });

  it('that dies while the pool is full loses nothing', async () => {
    const on = await withPast();
    on.gate.fail('store.draftRest', poolFull, 3);
    (await on.world.machine('one')).end('died', 'shot');
    const use = rejects(on.use('one'), 'pool_full');
    await use;
    assert.equal((await on.get('one')).state, 'asleep');
    await on.start('one').catch(() => undefined);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    assert.equal((await on.get('one')).row.lastStart?.how, 'disk');
    await on.end();
  });

  it('that the guest ends is booted at the next use', async () => {
    const on = await withPast();
    (await on.world.machine('one')).end('guest', 'the guest powered off');
    (await on.use('one'))[Symbol.dispose]();
    assert.deepEqual(await on.world.read('one'), { memory: 'booted present', disk: 'present' });
    await on.end();
  });

  it('is reached again when its channel breaks, its sessions unharmed', async () => {
    const on = await withPast();
    for (const channel of on.daemon.channels.open) channel.break('a hiccup');
    await on.consistent();
    assert.equal((await on.get('one')).state, 'running');
    assert.deepEqual(await on.runs('one'), ['1']);
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    await on.end();
  });

  it('whose agent is gone for good comes to rest on its disk', async () => {
    const on = await withPast();
    on.gate.fail('channels.connect', agentFailed);
    for (const channel of on.daemon.channels.open) channel.break('the agent crashed');
    await on.consistent();
    const view = await on.get('one');
    assert.deepEqual([view.state, view.row.lastState], ['asleep', 'disk']);
    assert.match(view.row.reason ?? '', /the agent crashed, and it could not be reached again/);
    await on.end();
  });

  it('that dies while its channel is opened anew does not hold anybody up', async () => {
    const on = await withPast();
    on.gate.fail('channels.connect', async (): Promise<never> => {
      (await on.world.machine('one')).end('died', 'shot');
      return new Promise<never>(() => undefined);
    });
    for (const channel of on.daemon.channels.open) channel.break('a hiccup');
    (await on.use('one'))[Symbol.dispose]();
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.end();
  });
});
