import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { genesesKept, genesesPerOrg } from './genesis-eviction.ts';
import { poolFull, rejects, Scenario, vmFailed } from './testing/scenario.ts';

describe('creating', () => {
  it('makes a sprite that sleeps until its first use', async () => {
    const on = await Scenario.open();
    const view = await on.create('one');
    assert.equal(view.state, 'asleep');
    assert.equal(view.status, 'cold');
    assert.equal((await on.get('one')).row.uid, 100_001);
    await on.consistent();
    const lease = await on.use('one');
    assert.equal(lease.view.status, 'running');
    assert.equal(lease.view.agentVersion, 'null 1');
    assert.equal((await on.world.read('one')).memory, `booted image ${'cafe'.repeat(4)}`);
    lease[Symbol.dispose]();
    await on.end();
  });

  it('boots a genesis once for sprites made at the same time', async () => {
    const on = await Scenario.open();
    await Promise.all(Array.from({ length: 10 }, (_, index) => on.create(`s${index}`)));
    assert.equal(on.world.machines.all.length, 1);
    await on.create('later');
    assert.equal(on.world.machines.all.length, 1);
    await on.end();
  });

  it('keeps the geneses used last, and sprites of removed ones', async () => {
    const on = await Scenario.open();
    await on.create('default');
    for (let mib = 1; mib <= genesesKept; mib++) {
      await on.create(`s${mib}`, { config: { ram_mb: 512 + mib } });
      await on.create(`again${mib}`);
    }
    const booted = genesesKept + 1;
    assert.equal(on.world.machines.all.length, booted);
    assert.equal(on.world.files.entries('genesis').length, genesesKept);
    await on.create('newest', { config: { ram_mb: 512 + genesesKept } });
    assert.equal(on.world.machines.all.length, booted, 'used just now, so kept');
    await on.create('oldest', { config: { ram_mb: 513 } });
    assert.equal(on.world.machines.all.length, booted + 1, 'booted again');
    (await on.use('s1'))[Symbol.dispose]();
    await on.end();
  });

  it('lets nobody push the geneses of others out, and never the default one', async () => {
    const on = await Scenario.open();
    const { sprites, org } = on.daemon;
    await sprites.prepare();
    const other = await on.world.repository.ensureOrg('other');
    const shapes = Array.from({ length: genesesPerOrg }, (_, index) => ({ ram_mb: 600 + index }));
    for (const config of shapes) await sprites.create(other, { name: `s${config.ram_mb}`, config });
    for (let mib = 1; mib <= 2 * genesesKept; mib++)
      await sprites.create(org, { name: `s${mib}`, config: { ram_mb: 1000 + mib } });
    assert.equal(on.world.files.entries('genesis').length, genesesKept);
    const booted = on.world.machines.all.length;
    await on.create('default');
    for (const config of shapes) await sprites.create(other, { name: `again${config.ram_mb}`, config });
    assert.equal(on.world.machines.all.length, booted);
    // The end looks at one organization.
    for (const { row } of await sprites.list(other, { limit: 100 })) await sprites.delete(other, row.name);
    await on.end();
  });

  it('boots one genesis at a time', async () => {
    const on = await Scenario.open();
    let most = 0;
    on.gate.fail('channels.connect', () => void (most = Math.max(most, on.world.machines.alive().length)), 5);
    await Promise.all(
      Array.from({ length: 5 }, (_, cpus) => on.create(`s${cpus}`, { config: { ram_mb: 600 + cpus } })),
    );
    assert.equal(most, 1);
    await on.end();
  });

  it('tries a genesis again that did not boot, and gives up with the reason', async () => {
    const on = await Scenario.open();
    on.gate.fail('channels.connect', 'hang');
    await on.create('one');
    assert.equal(on.world.machines.all.length, 2);
    on.gate.fail('driver.start', vmFailed, 3);
    await rejects(on.create('other', { config: { cpus: 1 } }), 'vm_failed', /did not start/);
    await on.end();
  });

  it('notices a genesis whose VM dies while it is waited for', async () => {
    const on = await Scenario.open({ bootDeadlineMs: 60_000 });
    on.gate.fail('channels.connect', () => {
      for (const machine of on.world.machines.alive()) machine.end('died', 'shot');
    });
    await on.create('one');
    await on.end();
  });

  it('refuses a name that is taken, also when two ask at once', async () => {
    const on = await Scenario.open();
    await on.create('one');
    await rejects(on.create('one'), 'name_taken');
    const [first, second] = await Promise.allSettled([on.create('two'), on.create('two')]);
    assert.deepEqual([first?.status, second?.status].toSorted(), ['fulfilled', 'rejected']);
    await on.end();
  });

  it('refuses an unknown image and impossible sizes', async () => {
    const on = await Scenario.open();
    await rejects(on.create('one', { from: { image: 'none' } }), 'image_not_found');
    await rejects(on.create('one', { config: { ram_mb: 1_000_000_000 } }), 'invalid_size');
    await on.create('one');
    await rejects(on.create('two', { from: { sprite: 'one' }, config: { cpus: 1 } }), 'invalid_size');
    await on.end();
  });

  it('leaves nothing of a sprite whose files or row could not be written', async () => {
    const on = await Scenario.open();
    for (const step of ['store.createSprite', 'repository.insertSprites']) {
      on.gate.fail(step, poolFull);
      await rejects(on.create('one'), 'pool_full');
      await rejects(on.get('one'), 'sprite_not_found');
      await on.consistent();
    }
    on.daemon.throwAt('create.after-row');
    await rejects(on.create('one'), 'internal');
    await rejects(on.get('one'), 'sprite_not_found');
    await on.end();
  });
});

describe('waking and sleeping', () => {
  it('goes on after sleep where it was', async () => {
    const on = await Scenario.running('hello');
    const session = await on.run('one');
    const view = await on.suspend('one');
    assert.deepEqual([view.state, view.status, view.row.lastState], ['asleep', 'warm', 'memory']);
    await on.consistent();
    await on.start('one');
    assert.deepEqual(await on.world.read('one'), { memory: 'hello', disk: 'hello' });
    assert.deepEqual(await on.runs('one'), [session]);
    assert.equal((await on.get('one')).row.lastStart?.how, 'memory');
    await on.end();
  });

  it('starts one VM for fifty uses at once', async () => {
    const on = await Scenario.open();
    await on.create('one');
    const before = on.world.machines.all.length;
    const leases = await Promise.all(Array.from({ length: 50 }, () => on.use('one')));
    assert.equal(on.world.machines.all.length, before + 1);
    for (const lease of leases) lease[Symbol.dispose]();
    await on.end();
  });

  it('fails fifty uses with one failed wake', async () => {
    const on = await Scenario.open();
    await on.create('one');
    on.gate.fail('driver.start', poolFull);
    const uses = await Promise.allSettled(Array.from({ length: 50 }, () => on.use('one')));
    assert.ok(uses.every(({ status }) => status === 'rejected'));
    assert.equal(on.gate.passed.filter((name) => name === 'driver.start').length, 2, 'the genesis and one wake');
    (await on.use('one'))[Symbol.dispose]();
    await on.end();
  });

  it('joins equal commands and does nothing where there is nothing to do', async () => {
    const on = await Scenario.running('x');
    const captures = () => on.gate.passed.filter((name) => name === 'vm.capture').length;
    const before = captures();
    await Promise.all([on.suspend('one'), on.suspend('one'), on.suspend('one')]);
    await on.suspend('one');
    assert.equal(captures(), before + 1);
    await Promise.all([on.restart('one'), on.restart('one')]);
    assert.equal((await on.start('one')).state, 'running');
    await on.end();
  });

  it('lets commands given during a transition wait for it', async () => {
    const on = await Scenario.running('x');
    const [, lease, id] = await Promise.all([on.suspend('one'), on.use('one'), on.checkpoint('one')]);
    assert.equal(lease.view.state, 'running');
    assert.equal(id, 'v0');
    lease[Symbol.dispose]();
    const [, forked] = await Promise.all([on.suspend('one'), on.fork('one', 'two'), on.start('one')]);
    assert.equal(forked.length, 1);
    assert.equal((await on.get('one')).state, 'running');
    await on.end();
  });

  it('wakes again for a use that a suspend overtook', async () => {
    const on = await Scenario.running('x');
    for (let round = 0; round < 20; round++) {
      const [, lease] = await Promise.all([on.suspend('one'), on.use('one')]);
      lease[Symbol.dispose]();
    }
    await on.end();
  });

  it('goes on with a wake whose client left', async () => {
    const on = await Scenario.open();
    await on.create('one');
    const client = new AbortController();
    on.gate.fail('driver.start', () => client.abort(new Error('gone')));
    await assert.rejects(on.daemon.sprites.use(on.daemon.org, 'one', { signal: client.signal }), /gone/);
    await on.consistent();
    assert.equal((await on.get('one')).state, 'running');
    await on.suspend('one');
    await assert.rejects(
      on.daemon.sprites.use(on.daemon.org, 'one', { signal: AbortSignal.abort(new Error('gone before')) }),
      /gone before/,
    );
    await on.end();
  });

  it('keeps to the number of sprites that may be awake', async () => {
    const on = await Scenario.open({ maxAwake: 2 });
    for (const name of ['a', 'b', 'c', 'd']) await on.create(name);
    const starts = await Promise.allSettled(['a', 'b', 'c', 'd'].map((name) => on.start(name)));
    assert.equal(starts.filter(({ status }) => status === 'fulfilled').length, 2);
    assert.equal(on.world.machines.alive().length, 2);
    const asleep = ['a', 'b', 'c', 'd'].find((_, index) => starts[index]?.status === 'rejected') as string;
    const error = await rejects(on.start(asleep), 'too_many_sprites');
    assert.deepEqual(error.context, { limit: 2, currentCount: 2 });
    const id = await on.checkpoint(asleep);
    await rejects(on.restart(asleep), 'too_many_sprites');
    await rejects(on.restore(asleep, id), 'too_many_sprites');
    const awake = ['a', 'b', 'c', 'd'].find((_, index) => starts[index]?.status === 'fulfilled') as string;
    await on.restart(awake);
    await on.suspend(awake);
    await on.start(asleep);
    await on.end();
  });

  it('refuses too long a queue rather than let it grow', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', () => new Promise((resolve) => setTimeout(resolve, 20)));
    const all = await Promise.allSettled(Array.from({ length: 300 }, () => on.checkpoint('one')));
    assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 256);
    await on.end();
  });
});

describe('looking and changing', () => {
  it('checks an awake sprite by asking its agent, and wakes none', async () => {
    const on = await Scenario.running('x');
    const check = () => on.daemon.sprites.check(on.daemon.org, 'one');
    assert.equal((await check()).healthy, true);
    on.gate.fail('channel.ping');
    assert.equal((await check()).healthy, false);
    await on.suspend('one');
    assert.equal((await check()).healthy, true);
    assert.equal((await on.get('one')).state, 'asleep');
    await on.end();
  });

  it('counts, lists and updates without waking', async () => {
    const on = await Scenario.running('x');
    await on.create('two');
    assert.deepEqual(await on.daemon.sprites.counts(on.daemon.org.id), { running: 1, warm: 0, cold: 1 });
    assert.deepEqual(
      (await on.daemon.sprites.list(on.daemon.org, { limit: 10 })).map(({ row, state }) => [row.name, state]),
      [
        ['one', 'running'],
        ['two', 'asleep'],
      ],
    );
    const view = await on.daemon.sprites.update(on.daemon.org, 'two', {
      labels: ['a'],
      idle_timeout_s: 7,
      url_settings: { auth: 'public' },
    });
    assert.deepEqual(
      [view.row.labels, view.row.idleTimeoutS, view.row.urlAuth, view.state],
      [['a'], 7, 'public', 'asleep'],
    );
    assert.deepEqual((await on.daemon.sprites.update(on.daemon.org, 'two', { clear_labels: true })).row.labels, []);
    await on.end();
  });

  it('shows sessions of a sleeping sprite without waking it', async () => {
    const on = await Scenario.running('x');
    await on.run('one');
    await on.suspend('one');
    const sessions = await on.daemon.sprites.peekSessions(on.daemon.org, 'one');
    assert.deepEqual(sessions?.positions(), [{ id: '1', endOffset: 0 }]);
    assert.equal((await on.get('one')).state, 'asleep');
    await on.create('two');
    assert.equal(await on.daemon.sprites.peekSessions(on.daemon.org, 'two'), undefined);
    await on.end();
  });
});

describe('closing the daemon', () => {
  it('puts sprites to sleep, or leaves them for the next daemon', async () => {
    const on = await Scenario.running('x');
    const session = await on.run('one');
    await on.daemon.sprites.close('suspend');
    assert.equal(on.world.machines.alive().length, 0);
    await on.reboot();
    assert.equal((await on.get('one')).status, 'warm');
    await on.start('one');
    await on.daemon.sprites.close('leave');
    assert.equal(on.world.machines.alive().length, 1);
    await on.reboot();
    assert.equal((await on.get('one')).state, 'running');
    assert.deepEqual(await on.runs('one'), [session]);
    await on.end();
  });

  it('starts nothing while it closes', async () => {
    const on = await Scenario.running('x');
    const closing = on.daemon.sprites.close('suspend');
    await rejects(on.use('one'), 'shutting_down');
    await rejects(on.restart('one'), 'shutting_down');
    await closing;
    await on.end();
  });

  it('leaves a sprite running that cannot be captured', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', poolFull);
    await on.daemon.sprites.close('suspend');
    assert.equal(on.world.machines.alive().length, 1);
    await on.reboot();
    assert.deepEqual(await on.world.read('one'), { memory: 'x', disk: 'x' });
    await on.end();
  });
});
