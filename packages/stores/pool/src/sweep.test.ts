import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Snapshot } from '@sylph/engine';
import type { SpriteId } from '@sylph/model';
import { fill, PoolFixture, uid } from './testing/fixture.ts';

describe('the sweep at start', () => {
  it('removes exactly what is half-made or unknown, and says so', async () => {
    await using fixture = await PoolFixture.make();
    const { store } = fixture;
    const known = await fixture.sprite();
    const asleep = await fixture.sprite();
    const rest = (await store.rest(known)) as Snapshot;
    await store.openVm(known, rest, { uid, memory: true });
    for (const id of ['v0', 'v1']) {
      await using draft = await store.draftCheckpoint(known, id);
      await draft.commit(await fill(draft));
    }
    await store[Symbol.asyncDispose]();
    await fixture.write({
      'images/cafe/rootfs.img': 'an image',
      'guests/beef/kernel': 'a kernel',
      'other/new-thing': 'not a shelf of the pool',
      [`sprites/${known}/sessions/1/new-file`]: 'inside a directory that is whole',
      [`sprites/${known}/vm-2/run/qmp`]: 'a VM to be recovered',
      [`sprites/${asleep}/newer`]: 'only looks like it',
    });
    const whole = await fixture.tree();

    const unknown: SpriteId = `sprite-${randomUUID()}`;
    await fixture.write({
      'images/new-1/rootfs.img': 'half an image',
      'images/rm-1/rootfs.img': 'a removed image',
      'guests/new-1/kernel': '',
      'guests/rm-1/initrd': '',
      'genesis/new-1/disk': '',
      'genesis/rm-1/disk': '',
      'transient/new-1/run/vm.json': 'a genesis that was booting',
      'transient/rm-1/disk': '',
      'sprites/new-1/rest/disk': 'half a sprite',
      'sprites/rm-1/rest/disk': 'a removed sprite',
      [`sprites/${known}/new-1/disk`]: 'half a VM',
      [`sprites/${known}/rm-1/disk`]: 'a finished VM',
      [`sprites/${asleep}/new-1/snapshot.json`]: 'half a rest',
      [`sprites/${unknown}/rest/disk`]: 'never acknowledged',
      'checkpoints/new-1/disk': '',
      'checkpoints/rm-1/v0/disk': 'of a removed sprite',
      [`checkpoints/${known}/new-1/disk`]: 'half a checkpoint',
      [`checkpoints/${known}/rm-1/disk`]: 'a removed checkpoint',
      [`checkpoints/${known}/v9/disk`]: 'never acknowledged',
      [`checkpoints/${unknown}/v0/disk`]: 'of a sprite nobody knows',
    });
    const asked: string[] = [];
    const rows = {
      sprites: new Set([known, asleep, `sprite-${randomUUID()}`]),
      checkpoints: async (id: SpriteId) => {
        asked.push(id);
        return new Set(['v0', 'v1', 'v2']);
      },
    };
    const { notices } = await store.sweep(rows);
    assert.deepEqual(await fixture.tree(), whole);
    assert.deepEqual(notices.toSorted(), [
      `removed 17 unfinished or deleted directories of an earlier run`,
      `removed checkpoint v9 of ${known}: it was never acknowledged, or it was deleted`,
      `removed the files of ${unknown}: its creation was never acknowledged, or it was deleted`,
    ]);
    assert.deepEqual(asked, [known], 'only sprites with checkpoints are looked up');
    assert.deepEqual(await store.rest(known), rest);
    assert.equal((await store.vmDirs(known)).length, 2);

    assert.deepEqual((await store.sweep(rows)).notices, [], 'the second finds nothing to do');
    assert.deepEqual(await fixture.tree(), whole);
  });

  it('makes the shelves of a new pool', async () => {
    await using fixture = await PoolFixture.make();
    const shelves = ['checkpoints/', 'genesis/', 'guests/', 'images/', 'sprites/', 'transient/'];
    assert.deepEqual(await fixture.tree(), shelves);
  });

  it('goes through many sprites', async () => {
    await using fixture = await PoolFixture.make();
    const ids = Array.from({ length: 100 }, (): SpriteId => `sprite-${randomUUID()}`);
    const sprites = new Set(ids.filter((_, index) => index % 2 === 0));
    for (const id of ids) await fixture.write({ [`sprites/${id}/rest/disk`]: '', [`sprites/${id}/new-1/disk`]: '' });
    const { notices } = await fixture.store.sweep({ sprites, checkpoints: async () => new Set() });
    assert.equal(notices.length, 51);
    assert.deepEqual(
      await fixture.tree('sprites'),
      [...sprites].flatMap((id) => [`${id}/`, `${id}/rest/`, `${id}/rest/disk`]).toSorted(),
    );
  });
});
