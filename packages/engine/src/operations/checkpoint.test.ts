import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poolFull, rejects, Scenario, vmFailed } from '../testing/scenario.ts';

describe('checkpoints', () => {
  it('are numbered upwards, also after deletion and failure', async () => {
    const on = await Scenario.running('x');
    assert.equal(await on.checkpoint('one'), 'v0');
    assert.equal(await on.checkpoint('one'), 'v1');
    await on.daemon.sprites.deleteCheckpoint(on.daemon.org, 'one', 'v0');
    on.gate.fail('vm.capture', poolFull);
    await rejects(on.checkpoint('one'), 'pool_full');
    await on.suspend('one');
    assert.equal(await on.checkpoint('one'), 'v3');
    assert.deepEqual(await on.checkpoints('one'), ['v3', 'v1']);
    assert.equal((await on.get('one')).state, 'asleep', 'a sleeping sprite is not woken');
    await on.end();
  });

  it('form a tree', async () => {
    const on = await Scenario.running('x');
    await on.checkpoint('one');
    await on.checkpoint('one');
    const saved = (await on.restore('one', 'v0')) as string;
    await on.checkpoint('one');
    const history = async (id: string) => (await on.daemon.sprites.getCheckpoint(on.daemon.org, 'one', id)).history;
    assert.deepEqual(await history('v1'), ['v0']);
    assert.deepEqual(await history(saved), ['v1', 'v0']);
    assert.deepEqual(await history('v2'), ['v0']);
    await on.end();
  });

  it('leave nothing behind when any step fails, and the sprite as it was', async () => {
    for (const from of ['running', 'asleep'] as const) {
      for (const step of [
        'repository.takeCounter',
        'store.draftCheckpoint',
        'draft.commit',
        'store.allocatedBytes',
        'repository.insertCheckpoint',
        'repository.updateSprite',
        'sessions.exportTo',
      ]) {
        const on = await Scenario.running('x');
        await on.run('one');
        if (from === 'asleep') await on.suspend('one');
        on.gate.fail(step, poolFull);
        await rejects(on.checkpoint('one'), 'pool_full');
        await on.consistent();
        assert.deepEqual(await on.checkpoints('one'), [], step);
        assert.equal((await on.get('one')).state, from);
        await on.end();
      }
    }
  });

  it('of the present cannot be deleted while it descends from them', async () => {
    const on = await Scenario.running('x');
    await on.checkpoint('one');
    await rejects(on.daemon.sprites.deleteCheckpoint(on.daemon.org, 'one', 'v0'), 'checkpoint_in_use');
    await on.checkpoint('one');
    await on.daemon.sprites.deleteCheckpoint(on.daemon.org, 'one', 'v0');
    await rejects(on.daemon.sprites.deleteCheckpoint(on.daemon.org, 'one', 'v0'), 'checkpoint_not_found');
    await rejects(on.daemon.sprites.getCheckpoint(on.daemon.org, 'one', 'v0'), 'checkpoint_not_found');
    await on.end();
  });

  it('made automatically are pruned, oldest first', async () => {
    const on = await Scenario.running('x', { autoCheckpoints: 2 });
    await on.checkpoint('one');
    const saved: (string | undefined)[] = [];
    for (let round = 0; round < 4; round++) saved.push(await on.restore('one', 'v0'));
    assert.deepEqual(await on.checkpoints('one'), [saved[3], saved[2], 'v0']);
    await on.end();
  });

  it('are not made of a VM that dies meanwhile', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', async () => (await on.world.machine('one')).end('died', 'shot'));
    await rejects(on.checkpoint('one'), vmFailed.code);
    await on.consistent();
    assert.equal((await on.get('one')).state, 'asleep');
    await on.end();
  });
});
