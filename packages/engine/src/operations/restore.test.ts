import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agentFailed, poolFull, rejects, Scenario, vmFailed } from '../testing/scenario.ts';

/** Checkpoint v0 holds `then` and session 1; the present holds `now` and session 2. */
async function withPast(options: { autoCheckpoints?: number } = {}): Promise<Scenario> {
  const on = await Scenario.running('then', options);
  await on.run('one');
  await on.checkpoint('one');
  await on.world.write('one', 'now');
  await (await on.sessions('one')).connect([...on.daemon.channels.open][0] as never);
  const machine = await on.world.machine('one');
  machine.memory.processes = [];
  await (await on.sessions('one')).lose('it ended');
  await on.run('one');
  return on;
}

describe('restoring', () => {
  it('brings memory, disk and sessions back, and saves the present', async () => {
    const on = await withPast();
    const saved = await on.restore('one', 'v0');
    assert.deepEqual(await on.world.read('one'), { memory: 'then', disk: 'then' });
    assert.deepEqual(await on.runs('one'), ['1']);
    assert.equal((await on.get('one')).row.currentCheckpoint, 'v0');
    await on.restore('one', saved as string);
    assert.deepEqual(await on.world.read('one'), { memory: 'now', disk: 'now' });
    assert.deepEqual(await on.runs('one'), ['2']);
    await on.end();
  });

  it('boots the disk of a checkpoint when asked to', async () => {
    const on = await withPast();
    await on.restore('one', 'v0', 'disk');
    assert.deepEqual(await on.world.read('one'), { memory: 'booted then', disk: 'then' });
    assert.deepEqual(await on.runs('one'), []);
    await on.end();
  });

  it('restores a sleeping and a failed sprite', async () => {
    const on = await withPast();
    await on.suspend('one');
    const saved = await on.restore('one', 'v0');
    assert.deepEqual(await on.world.read('one'), { memory: 'then', disk: 'then' });
    await on.restore('one', saved as string);
    await on.suspend('one');
    on.gate.fail('driver.start', vmFailed, 3);
    await rejects(on.start('one'), 'sprite_failed');
    on.gate.heal();
    await on.restore('one', 'v0');
    assert.equal((await on.get('one')).state, 'running');
    await on.end();
  });

  for (const [step, code] of [
    ['driver.start', 'vm_failed'],
    ['channel.resume', 'vm_failed'],
    ['store.fillFromSnapshot', 'pool_full'],
    ['store.openVm', 'pool_full'],
    ['repository.insertCheckpoint', 'pool_full'],
  ] as const) {
    for (const from of ['running', 'asleep'] as const) {
      it(`brings the present back, ${from}, when ${step} fails`, async () => {
        const on = await withPast();
        if (from === 'asleep') await on.suspend('one');
        on.gate.fail(step, code === 'pool_full' ? poolFull : agentFailed);
        await rejects(on.restore('one', 'v0'), code, /v0 could not be restored: .*back where it was/);
        await on.consistent();
        assert.equal((await on.get('one')).state, from);
        await on.start('one');
        assert.deepEqual(await on.world.read('one'), { memory: 'now', disk: 'now' });
        assert.deepEqual(await on.runs('one'), ['2']);
        await on.end();
      });
    }
  }

  it('leaves the sprite running when it cannot be put to sleep for it', async () => {
    const on = await withPast();
    on.gate.fail('vm.capture', poolFull);
    await rejects(on.restore('one', 'v0'), 'pool_full');
    assert.equal((await on.get('one')).state, 'running');
    assert.deepEqual(await on.runs('one'), ['2']);
    await on.end();
  });

  it('says so when neither the checkpoint nor the present starts', async () => {
    const on = await withPast();
    on.gate.fail('driver.start', vmFailed, 4);
    await rejects(on.restore('one', 'v0'), 'sprite_failed', /v0 could not be restored.*present could not/);
    assert.equal((await on.get('one')).state, 'failed');
    on.gate.heal();
    await on.recover('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'now', disk: 'now' });
    await on.end();
  });

  it('refuses unknown and damaged checkpoints before anything changes', async () => {
    const on = await withPast();
    await rejects(on.restore('one', 'v7'), 'checkpoint_not_found');
    const { id } = await on.world.row('one');
    on.world.files.write(`checkpoints/${id}/v0/dev`, 'garbage');
    await rejects(on.restore('one', 'v0'), 'vm_failed', /damaged/);
    assert.equal((await on.daemon.sprites.getCheckpoint(on.daemon.org, 'one', 'v0')).health, 'damaged');
    assert.deepEqual(await on.runs('one'), ['2']);
    await on.restore('one', 'v0', 'disk');
    assert.equal((await on.world.read('one')).disk, 'then');
    await on.end();
  });

  it('restores the oldest automatic checkpoint, which its own saving would prune', async () => {
    const on = await withPast({ autoCheckpoints: 1 });
    const saved = (await on.restore('one', 'v0')) as string;
    await on.restore('one', saved);
    assert.deepEqual(await on.world.read('one'), { memory: 'now', disk: 'now' });
    assert.ok((await on.checkpoints('one')).includes(saved), 'the present descends from it');
    await on.end();
  });

  it('gets away from a present that cannot be read', async () => {
    const on = await withPast();
    await on.suspend('one');
    const { id } = await on.world.row('one');
    on.world.files.write(`sprites/${id}/rest/snapshot.json`, 'damaged');
    assert.equal(await on.restore('one', 'v0'), undefined);
    assert.deepEqual(await on.world.read('one'), { memory: 'then', disk: 'then' });
    await on.end();
  });

  it('has restored though the last step failed', async () => {
    const on = await withPast();
    on.daemon.throwAt('restore.answered');
    await rejects(on.restore('one', 'v0'), 'internal');
    assert.deepEqual(await on.world.read('one'), { memory: 'then', disk: 'then' });
    await on.end();
  });
});
