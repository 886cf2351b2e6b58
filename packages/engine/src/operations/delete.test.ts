import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poolFull, rejects, Scenario, vmFailed } from '../testing/scenario.ts';

async function gone(on: Scenario): Promise<void> {
  await rejects(on.get('one'), 'sprite_not_found');
  assert.deepEqual(on.world.files.entries('sprites'), []);
  assert.deepEqual(on.world.files.entries('checkpoints'), []);
  assert.equal(on.world.machines.alive().length, 0);
  await on.end();
}

describe('deleting', () => {
  it('works in any state', async () => {
    const never = await Scenario.open();
    await never.create('one');
    await never.delete('one');
    await gone(never);

    const running = await Scenario.running('x');
    await running.checkpoint('one');
    const lease = await running.use('one');
    await running.delete('one');
    lease[Symbol.dispose]();
    await gone(running);

    const asleep = await Scenario.running('x');
    await asleep.suspend('one');
    await asleep.delete('one');
    await gone(asleep);

    const failed = await Scenario.running('x');
    await failed.suspend('one');
    failed.gate.fail('driver.start', vmFailed, 2);
    await rejects(failed.start('one'), 'sprite_failed');
    await failed.delete('one');
    await gone(failed);
  });

  it('joins equals, waits for what is under way and refuses what comes after', async () => {
    const on = await Scenario.running('x');
    const work = [on.suspend('one'), on.delete('one'), on.delete('one')];
    const after = [on.start('one'), on.checkpoint('one')];
    const late = on.delete('one');
    await Promise.all(work);
    for (const refused of after) await rejects(refused, 'sprite_not_found');
    await late;
    await gone(on);
  });

  it('can be repeated when it broke off, and loses no VM', async () => {
    for (const step of [
      'sessions.disconnect',
      'sessions.lose',
      'channel.close',
      'vm.end',
      'network.detach',
      'repository.removeSprite',
      'driver.adopt',
    ]) {
      const on = await Scenario.running('x');
      on.gate.fail(step, poolFull);
      const again = [on.delete('one'), on.delete('one')];
      await Promise.allSettled(again);
      await on.delete('one').catch(() => undefined);
      for (const channel of on.daemon.channels.open) await channel.close();
      await gone(on);
    }
  });

  it('is done once the row is gone', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('store.removeSprite', poolFull);
    await on.delete('one');
    await rejects(on.get('one'), 'sprite_not_found');
    await on.daemon.sprites.close('suspend');
    await on.reboot();
    await gone(on);
  });

  it('lets a sprite be used again whose deletion broke off', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('network.detach', poolFull);
    await rejects(on.delete('one'), 'pool_full');
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'x');
    await on.end();
  });

  it('gives the name and the user to the next', async () => {
    const on = await Scenario.running('x');
    const { uid } = await on.world.row('one');
    await on.delete('one');
    assert.equal((await on.create('one')).row.uid, uid);
    await on.end();
  });
});
