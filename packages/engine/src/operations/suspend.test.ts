import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agentFailed, poolFull, rejects, Scenario } from '../testing/scenario.ts';

describe('going to sleep', () => {
  for (const step of ['store.draftRest', 'vm.capture', 'store.linkGuest', 'draft.commit']) {
    it(`leaves the sprite running when ${step} fails`, async () => {
      const on = await Scenario.running('x');
      const session = await on.run('one');
      on.gate.fail(step, poolFull);
      await rejects(on.suspend('one'), 'pool_full');
      await on.consistent();
      assert.equal((await on.get('one')).state, 'running');
      assert.deepEqual(await on.runs('one'), [session]);
      await on.end();
    });
  }

  it('leaves the sprite running when the step after the capture fails', async () => {
    const on = await Scenario.running('x');
    on.daemon.throwAt('suspend.captured');
    await rejects(on.suspend('one'), 'internal');
    assert.equal((await on.get('one')).state, 'running');
    await on.end();
  });

  it('takes a snapshot back whose publishing failed after the fact', async () => {
    const on = await Scenario.running('x');
    const { id } = await on.world.row('one');
    on.gate.fail('draft.commit', () => {
      on.world.files.write(`sprites/${id}/rest/snapshot.json`, 'a rename that was not synced');
      throw poolFull;
    });
    await rejects(on.suspend('one'), 'pool_full');
    await on.consistent();
    assert.deepEqual(await on.world.read('one'), { memory: 'x', disk: 'x' });
    await on.end();
  });

  it('does not need the guest', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('channel.quiesce', agentFailed);
    assert.equal((await on.suspend('one')).state, 'asleep');
    await on.start('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'x', disk: 'x' });
    await on.end();
  });

  for (const step of ['sessions.disconnect', 'channel.close', 'vm.end', 'network.detach', 'store.removeVm']) {
    it(`is asleep though ${step} fails once`, async () => {
      const on = await Scenario.running('x');
      on.gate.fail(step);
      assert.equal((await on.suspend('one')).state, 'asleep');
      const { id } = await on.world.row('one');
      assert.equal(on.world.machines.alive().filter(({ spriteId }) => spriteId === id).length, 0);
      await on.start('one');
      assert.deepEqual(await on.world.read('one'), { memory: 'x', disk: 'x' });
      // The one that could not be closed.
      for (const channel of on.daemon.channels.open) if (!channel.machine.alive) await channel.close();
      await on.end();
    });
  }

  it('is asleep for good when its VM dies while it is captured and after', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', async () => (await on.world.machine('one')).end('died', 'shot'));
    await rejects(on.suspend('one'), 'vm_failed');
    await on.consistent();
    const view = await on.get('one');
    assert.deepEqual([view.state, view.row.lastState], ['asleep', 'disk']);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'x');
    on.gate.fail('vm.end', async () => (await on.world.machine('one')).end('died', 'shot'));
    await on.suspend('one');
    assert.equal((await on.get('one')).row.lastState, 'memory');
    await on.end();
  });
});
