import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agentFailed, poolFull, rejects, Scenario, vmFailed } from '../testing/scenario.ts';

/** A sprite asleep with memory, a session inside, and what it wrote. */
async function asleep(text = 'present'): Promise<Scenario> {
  const on = await Scenario.running(text);
  await on.run('one');
  await on.suspend('one');
  return on;
}

describe('the ladder', () => {
  it('boots the disk when the memory does not start, and keeps the memory', async () => {
    const on = await asleep();
    on.gate.fail('driver.start', vmFailed);
    const view = await on.start('one');
    assert.equal(view.row.lastStart?.how, 'disk');
    assert.deepEqual(view.row.lastStart?.failures, [{ how: 'memory', reason: vmFailed.message }]);
    assert.match(view.row.reason ?? '', /memory: the VM did not start/);
    assert.deepEqual(await on.world.read('one'), { memory: 'booted present', disk: 'present' });
    assert.deepEqual(await on.runs('one'), [], 'sessions of the memory are lost');
    assert.match((await on.sessions('one')).journals().get('1')?.lost ?? '', /memory could not be restored/);
    const [kept] = await on.checkpoints('one');
    assert.match(kept ?? '', /^auto-/);
    await on.restore('one', kept as string);
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    assert.deepEqual(await on.runs('one'), ['1'], 'and are back with it');
    await on.end();
  });

  for (const [what, step] of [
    ['the agent refuses', 'channel.resume'],
    ['the agent cannot be reached', 'channels.wake'],
    ['the network cannot be had', 'network.attach'],
    ['the working directory cannot be made', 'store.openVm'],
    ['the memory cannot be kept', 'store.dropRest'],
  ] as const) {
    it(`leaves nothing of an attempt when ${what}`, async () => {
      const on = await asleep();
      on.gate.fail(step, agentFailed);
      assert.equal((await on.start('one')).row.lastStart?.how, 'disk');
      await on.end();
    });
  }

  it('gives up an agent that hangs, at its deadline', async () => {
    const on = await asleep();
    on.gate.fail('channels.wake', 'hang');
    assert.equal((await on.start('one')).row.lastStart?.how, 'disk');
    await on.suspend('one');
    on.gate.fail('channel.resume', 'hang');
    assert.equal((await on.start('one')).row.lastStart?.how, 'disk');
    await on.end();
  });

  it('notices a VM that dies before its agent answers', async () => {
    const on = await asleep();
    on.gate.fail('channels.wake', async () => (await on.world.machine('one')).end('died', 'shot'));
    assert.equal((await on.start('one')).row.lastStart?.how, 'disk');
    await on.suspend('one');
    on.gate.fail('channel.resume', async () => (await on.world.machine('one')).end('guest', 'powered off'));
    assert.equal((await on.start('one')).row.lastStart?.how, 'disk');
    await on.end();
  });

  it('does not try memory of another machine', async () => {
    const on = await asleep();
    on.world.machines.identity = { ...on.world.machines.identity, qemuVersion: '11.0' };
    const view = await on.start('one');
    assert.match(view.row.lastStart?.failures[0]?.reason ?? '', /qemuVersion 10\.0, this host has 11\.0/);
    on.world.machines.identity = { ...on.world.machines.identity, qemuVersion: '10.0' };
    await on.end();
  });

  it('does not try damaged memory', async () => {
    const on = await asleep();
    const { id } = await on.world.row('one');
    on.world.files.write(`sprites/${id}/rest/dev`, 'garbage');
    const view = await on.start('one');
    assert.equal(view.row.lastStart?.how, 'disk');
    assert.match(view.row.reason ?? '', /hash/);
    await on.suspend('one');
    on.world.files.remove(`sprites/${id}/rest/dev`);
    assert.equal(
      (await on.start('one')).row.lastStart?.how,
      'disk',
      'also when a part of it is missing and it cannot be kept',
    );
    await on.end();
  });

  it('goes to the newest whole checkpoint when the disk does not start, and keeps the present', async () => {
    const on = await Scenario.running('old');
    await on.checkpoint('one');
    await on.world.write('one', 'newer');
    await on.checkpoint('one');
    await on.world.write('one', 'present');
    await on.suspend('one');
    const { id } = await on.world.row('one');
    on.world.files.write(`checkpoints/${id}/v1/snapshot.json`, 'damaged');
    on.gate.fail('driver.start', vmFailed, 2);
    const view = await on.start('one');
    assert.equal(view.row.lastStart?.how, 'checkpoint');
    assert.equal(view.row.lastStart?.checkpoint, 'v0');
    assert.equal(view.row.currentCheckpoint, 'v0');
    assert.deepEqual((await on.world.read('one')).disk, 'old');
    const kept = (await on.checkpoints('one')).find((name) => name.startsWith('auto-'));
    await on.restore('one', kept as string);
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    await on.end();
  });

  it('goes to a checkpoint when what the sprite rests on cannot be read', async () => {
    const on = await Scenario.running('old');
    await on.checkpoint('one');
    await on.suspend('one');
    const { id } = await on.world.row('one');
    on.world.files.write(`sprites/${id}/rest/snapshot.json`, 'damaged');
    assert.equal((await on.start('one')).row.lastStart?.how, 'checkpoint');
    await on.end();
  });

  it('does not take a rest that cannot be read just now for a damaged one, nor for none', async () => {
    const on = await Scenario.running('old');
    await on.checkpoint('one');
    await on.world.write('one', 'present');
    await on.suspend('one');
    on.gate.fail('store.rest', new Error('EMFILE'));
    await rejects(on.start('one'), 'internal', /EMFILE/);
    await on.start('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    on.gate.fail('store.rest', new Error('EMFILE'));
    await rejects(on.restart('one'), 'internal', /EMFILE/);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.suspend('one');
    on.daemon.throwAt('start.rest-dropped');
    on.gate.fail('store.dropRest', () => on.gate.fail('store.rest', new Error('EMFILE')));
    await rejects(on.start('one'), 'host_unfit', /EMFILE/);
    await on.start('one');
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.end();
  });

  it('keeps a disk that does not start when it goes to a checkpoint', async () => {
    const on = await Scenario.running('old');
    await on.checkpoint('one');
    await on.world.write('one', 'present');
    (await on.world.machine('one')).end('died', 'shot');
    await on.consistent();
    on.gate.fail('driver.start', vmFailed);
    assert.equal((await on.start('one')).row.lastStart?.how, 'checkpoint');
    const kept = (await on.checkpoints('one')).find((name) => name.startsWith('auto-'));
    await on.restore('one', kept as string);
    assert.equal((await on.world.read('one')).disk, 'present');
    await on.end();
  });

  it('fails when nothing starts, leaves everything as it was, and recovers', async () => {
    const on = await asleep();
    on.gate.fail('driver.start', vmFailed, 2);
    const error = await rejects(on.start('one'), 'sprite_failed', /memory: .*disk: /);
    assert.match(error.hint ?? '', /recover/);
    await on.consistent();
    const view = await on.get('one');
    assert.deepEqual([view.state, view.row.lastState], ['failed', 'failed']);
    await rejects(on.start('one'), 'sprite_failed', /memory: /);
    await rejects(on.use('one'), 'sprite_failed');
    await rejects(on.checkpoint('one'), 'sprite_failed');
    await rejects(on.fork('one', 'two'), 'sprite_failed');
    const { daemon } = on;
    await daemon.sprites.close('suspend');
    await on.reboot();
    assert.equal((await on.get('one')).state, 'failed');
    assert.equal((await on.recover('one')).state, 'running');
    assert.deepEqual(await on.world.read('one'), { memory: 'present', disk: 'present' });
    assert.deepEqual(await on.runs('one'), ['1']);
    assert.equal((await on.get('one')).row.reason, null);
    await on.end();
  });

  it('lets a start that waits behind a failing one fail too, rather than try again', async () => {
    const on = await asleep();
    on.gate.fail('driver.start', vmFailed, 2);
    const results = await Promise.allSettled([on.start('one'), on.checkpoint('one'), on.use('one')]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal((await on.get('one')).state, 'failed');
    await on.end();
  });

  it('does not blame the state for a full pool', async () => {
    const on = await asleep();
    for (const step of ['store.openVm', 'store.dropRest']) {
      on.gate.fail(step, poolFull);
      await rejects(on.start('one'), 'pool_full');
      const view = await on.get('one');
      assert.deepEqual([view.state, view.row.lastState, view.row.reason], ['asleep', 'memory', poolFull.message]);
      await on.consistent();
    }
    assert.equal((await on.start('one')).row.lastStart?.how, 'memory');
    await on.end();
  });

  it('does not take the next rung when the memory cannot be kept for want of space', async () => {
    const on = await asleep();
    on.gate.fail('driver.start', vmFailed);
    on.gate.fail('draft.commit', poolFull);
    await rejects(on.start('one'), 'pool_full');
    await on.consistent();
    assert.equal((await on.start('one')).row.lastStart?.how, 'memory');
    await on.end();
  });

  it('runs on when trouble comes after the VM has taken over', async () => {
    const on = await asleep();
    on.daemon.throwAt('start.rest-dropped');
    assert.equal((await on.start('one')).row.lastStart?.how, 'memory');
    await on.consistent();
    await on.suspend('one');
    on.gate.fail('sessions.connect', agentFailed);
    assert.equal((await on.start('one')).state, 'running');
    assert.deepEqual(await on.runs('one'), ['1'], 'by a channel opened anew');
    await on.end();
  });

  it('is at rest with the reason when a VM took over and cannot be reached', async () => {
    const on = await asleep();
    on.gate.fail('sessions.connect', agentFailed, 2);
    await rejects(on.start('one'), 'agent_failed', /could not be reached again/);
    await on.consistent();
    const view = await on.get('one');
    assert.equal(view.state, 'asleep');
    assert.match(view.row.reason ?? '', /sessions could not be connected/);
    await on.end();
  });

  it('tells the guest who it is, and only a new sprite that it is new', async () => {
    const on = await Scenario.open();
    const { id } = (await on.create('one')).row;
    const told = () =>
      [...on.daemon.channels.open].map(({ resumed }) => resumed).find((event) => event?.spriteId === id);
    await on.start('one');
    assert.equal(told()?.newIdentity, true);
    const machineId = told()?.machineId;
    (await on.world.machine('one')).end('died', 'shot');
    await on.consistent();
    await on.start('one');
    assert.equal(told()?.newIdentity, false, 'a crash does not change who it is');
    await on.suspend('one');
    const generation = told()?.generationId;
    await on.start('one');
    assert.deepEqual([told()?.newIdentity, told()?.machineId, told()?.hostname], [false, machineId, 'one']);
    assert.notEqual(told()?.generationId, generation);
    await on.end();
  });
});

describe('restart and upgrade', () => {
  it('boots the present disk, awake or asleep', async () => {
    const on = await Scenario.running('x');
    await on.run('one');
    await on.restart('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'booted x', disk: 'x' });
    assert.deepEqual(await on.runs('one'), []);
    await on.suspend('one');
    await on.restart('one');
    assert.equal((await on.world.read('one')).memory, 'booted x');
    await on.end();
  });

  it('restarts a guest that does not shut down in order', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('channel.poweroff', agentFailed);
    await on.restart('one');
    on.gate.fail('channel.poweroff', async () => (await on.world.machine('one')).end('guest', 'powered off'));
    await on.restart('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'booted x', disk: 'x' });
    await on.end();
  });

  it('upgrades into the newest guest', async () => {
    const on = await Scenario.running('x');
    on.world.guestDigest = 'feed'.repeat(4);
    await on.daemon.sprites.upgrade(on.daemon.org, 'one');
    const { dir } = await on.world.machine('one');
    assert.equal(on.world.files.read(`${dir}/kernel`), 'feed'.repeat(4));
    await on.suspend('one');
    await on.start('one');
    assert.equal(on.world.files.read(`${(await on.world.machine('one')).dir}/kernel`), 'feed'.repeat(4));
    await on.end();
  });

  it('loses no disk when it breaks off half-way, whatever fails', async () => {
    for (const step of [
      'store.draftRest',
      'store.fillFromVm',
      'draft.commit',
      'vm.end',
      'network.detach',
      'sessions.disconnect',
      'store.vmDirs',
      'repository.updateSprite',
      'store.removeVm',
    ]) {
      const on = await Scenario.running('precious');
      await on.checkpoint('one');
      await on.world.write('one', 'present');
      on.gate.fail(step, poolFull, 2);
      await on.restart('one').catch(() => undefined);
      on.gate.heal();
      await on.start('one');
      assert.equal((await on.world.read('one')).disk, 'present', step);
      await on.end();
    }
  });
});
