import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poolFull, rejects, Scenario } from '../testing/scenario.ts';

describe('forking', () => {
  it('makes sprites from one capture of a running one, which runs on', async () => {
    const on = await Scenario.running('x');
    const session = await on.run('one');
    const forks = await on.fork('one', 'copy', { count: 3 });
    assert.deepEqual(
      forks.map(({ row }) => row.name),
      ['copy-1', 'copy-2', 'copy-3'],
    );
    assert.deepEqual(await on.runs('one'), [session]);
    await on.world.write('one', 'y');
    for (const { row } of forks) {
      await on.start(row.name);
      assert.deepEqual(await on.world.read(row.name), { memory: 'x', disk: 'x' });
      assert.deepEqual(await on.runs(row.name), [session], 'what ran in it runs in its fork');
      assert.notEqual(await on.run(row.name), session);
      assert.equal(row.parentSpriteId, (await on.world.row('one')).id);
    }
    await on.end();
  });

  it('forks a sleeping sprite and a checkpoint without waking', async () => {
    const on = await Scenario.running('then');
    await on.checkpoint('one');
    await on.world.write('one', 'now');
    await on.run('one');
    await on.suspend('one');
    const before = on.world.machines.all.length;
    await on.fork('one', 'present');
    const [past] = await on.fork('one', 'past', { checkpoint: 'v0' });
    assert.equal(past?.row.parentCheckpoint, 'v0');
    assert.equal(on.world.machines.all.length, before);
    await on.start('present');
    assert.deepEqual(await on.world.read('present'), { memory: 'now', disk: 'now' });
    assert.deepEqual(await on.runs('present'), ['1']);
    await on.start('past');
    assert.deepEqual(await on.world.read('past'), { memory: 'then', disk: 'then' });
    await on.end();
  });

  it('counts sessions on from those in the capture, also ones started meanwhile', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', () => on.run('one'));
    await on.fork('one', 'two');
    await on.start('two');
    assert.deepEqual(await on.runs('two'), ['1']);
    assert.equal(await on.run('two'), '2');
    await on.end();
  });

  it('makes all or none', async () => {
    for (const step of ['store.createSprite', 'repository.insertSprites']) {
      const on = await Scenario.running('x');
      // Files are written one sprite after the other: the second fails. Rows are written once for all.
      on.gate.fail(step, step === 'store.createSprite' ? () => on.gate.fail(step, poolFull) : poolFull);
      await rejects(on.fork('one', 'copy', { count: 4 }), 'pool_full');
      await on.consistent();
      assert.deepEqual(
        (await on.daemon.sprites.list(on.daemon.org, { limit: 10 })).map(({ row }) => row.name),
        ['one'],
      );
      await on.end();
    }
    for (const point of ['fork.one-created', 'create.after-row'] as const) {
      const on = await Scenario.running('x');
      on.daemon.throwAt(point);
      await rejects(on.fork('one', 'copy', { count: 4 }), 'internal');
      await on.consistent();
      await rejects(on.get('copy-1'), 'sprite_not_found');
      await on.end();
    }
  });

  for (const [point, made] of [
    ['fork.captured', 0],
    ['fork.one-created', 0],
    ['create.before-row', 0],
    ['create.after-row', 3],
  ] as const) {
    it(`makes ${made === 0 ? 'none' : 'all'} when the daemon dies at ${point}`, async () => {
      const on = await Scenario.running('x');
      on.daemon.dieAt(point);
      await on.dieDuring(on.fork('one', 'copy', { count: 3 }));
      await on.consistent();
      const copies = await on.daemon.sprites.list(on.daemon.org, { prefix: 'copy', limit: 10 });
      assert.equal(copies.length, made);
      for (const { row } of copies) {
        await on.start(row.name);
        assert.deepEqual(await on.world.read(row.name), { memory: 'x', disk: 'x' });
      }
      if (made === 0) assert.equal((await on.fork('one', 'copy', { count: 3 })).length, 3, 'the names are free');
      await on.end();
    });
  }

  it('makes none when one of the names is taken while it captures', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', () => on.create('copy-2'));
    await rejects(on.fork('one', 'copy', { count: 3 }), 'name_taken');
    const left = await on.daemon.sprites.list(on.daemon.org, { limit: 10 });
    assert.deepEqual(
      left.map(({ row }) => row.name),
      ['copy-2', 'one'],
    );
    await on.end();
  });

  it('refuses names that are taken, unknown checkpoints and damaged ones', async () => {
    const on = await Scenario.running('x');
    await on.create('two-2');
    await rejects(on.fork('one', 'two', { count: 2 }), 'name_taken');
    await rejects(on.get('two-1'), 'sprite_not_found');
    await rejects(on.fork('one', 'three', { checkpoint: 'v0' }), 'checkpoint_not_found');
    await on.checkpoint('one');
    on.world.files.write(`checkpoints/${(await on.world.row('one')).id}/v0/dev`, 'garbage');
    await rejects(on.fork('one', 'three', { checkpoint: 'v0' }), 'vm_failed', /damaged/);
    await on.end();
  });

  it('keeps nothing of its capture, whether it succeeds or not', async () => {
    const on = await Scenario.running('x');
    on.gate.fail('vm.capture', poolFull);
    await rejects(on.fork('one', 'two'), 'pool_full');
    await on.fork('one', 'two');
    assert.deepEqual(on.world.files.entries('transient'), []);
    await on.end();
  });
});
