import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Snapshot } from '@sylph/engine';
import { SylphError, type SpriteId } from '@sylph/model';
import { fill, PoolFixture, ramMib, shareBlocks, uid } from './testing/fixture.ts';
import { tool } from './testing/host-disk.ts';

let fixture: PoolFixture;
before(async () => {
  fixture = await PoolFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());

const fails = (work: Promise<unknown>, code: string, text: RegExp): Promise<void> =>
  assert.rejects(work, (error) => error instanceof SylphError && error.code === code && text.test(error.message));

const inode = async (...file: string[]): Promise<number> => (await fs.stat(path.join(...file))).ino;

describe('a snapshot draft', () => {
  it('is invisible before its commit, whole after it, and gone when it is given up', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const entries = await fixture.tree(`sprites/${id}`);
    {
      await using given = await store.draftCheckpoint(id, 'v0');
      await fill(given);
      assert.equal(await store.checkpoint(id, 'v0'), undefined);
    }
    assert.deepEqual(await fixture.tree(`checkpoints/${id}`), []);
    {
      await using draft = await store.draftCheckpoint(id, 'v0');
      const manifest = await fill(draft);
      const committed = await draft.commit(manifest);
      assert.deepEqual(committed.manifest, manifest);
      assert.deepEqual(await store.checkpoint(id, 'v0'), committed);
    }
    assert.deepEqual(await fixture.tree(`checkpoints/${id}`), [
      'v0/',
      'v0/dev',
      'v0/disk',
      'v0/initrd',
      'v0/kernel',
      'v0/ram',
      'v0/sessions/',
      'v0/sessions/1/',
      'v0/sessions/1/journal',
      'v0/snapshot.json',
    ]);
    assert.deepEqual(await fixture.tree(`sprites/${id}`), entries);
  });

  it('never takes the place of a snapshot', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = await store.rest(id);
    await using draft = await store.draftRest(id);
    await assert.rejects(draft.commit(await fill(draft)), /exists already/);
    assert.deepEqual(await store.rest(id), rest);
  });

  it('refuses a manifest nobody could read again', async () => {
    await using draft = await fixture.store.draftTransient();
    const manifest = await fill(draft, { createdAt: 'yesterday' });
    await assert.rejects(draft.commit(manifest));
    assert.deepEqual(await fs.readdir(draft.path).then((names) => names.includes('snapshot.json')), false);
  });

  it('of a fork stays where it is until it is disposed', async () => {
    const { store } = fixture;
    const draft = await store.draftTransient();
    const snapshot = await draft.commit(await fill(draft));
    assert.equal(snapshot.path, draft.path);
    const fork = await fixture.sprite(snapshot);
    await draft[Symbol.asyncDispose]();
    await assert.rejects(fs.stat(snapshot.path), { code: 'ENOENT' });
    assert.equal(await store.damage((await store.rest(fork)) as Snapshot), undefined);
  });

  it('filled from a snapshot shares its blocks and its files that never change', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    await using draft = await store.draftCheckpoint(id, 'v0');
    await store.fillFromSnapshot(draft, rest);
    const copy = await draft.commit(rest.manifest);
    assert.ok(await shareBlocks(path.join(copy.path, 'disk'), path.join(rest.path, 'disk')));
    for (const name of ['ram', 'dev', 'kernel', 'initrd'])
      assert.equal(await inode(copy.path, name), await inode(rest.path, name), name);
    assert.equal(await store.damage(copy), undefined);
  });
});

/** Each cut comes right behind the call that was acknowledged: a later one would make it durable too. */
describe('after a power cut', () => {
  const whole = async (snapshot: Snapshot | undefined, like: Snapshot): Promise<void> => {
    assert.ok(snapshot);
    assert.deepEqual(snapshot.manifest, like.manifest);
    assert.equal(await fixture.store.damage(snapshot), undefined);
    for (const name of ['disk', 'dev', 'kernel', 'initrd'])
      assert.deepEqual(
        await fs.readFile(path.join(snapshot.path, name)),
        await fs.readFile(path.join(like.path, name)),
        name,
      );
  };

  it('a sprite that was made is there, with its journals', async () => {
    const genesis = await fixture.genesis();
    const id = await fixture.sprite(genesis);
    await fixture.cutPower();
    await whole(await fixture.store.rest(id), genesis);
    const journal = path.join(fixture.store.sessionsDir(id), '1/journal');
    assert.equal(await fs.readFile(journal, 'utf8'), 'output');
  });

  it('a snapshot that was committed is there, and one that was not is swept', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const id = await fixture.sprite(genesis);
    await fill(await store.draftCheckpoint(id, 'v1'));
    await using draft = await store.draftCheckpoint(id, 'v0');
    await store.fillFromSnapshot(draft, genesis);
    await draft.commit(genesis.manifest);
    await fixture.cutPower();
    await whole(await store.checkpoint(id, 'v0'), genesis);
    assert.equal(await store.checkpoint(id, 'v1'), undefined);
    await fixture.sweep();
    assert.deepEqual(await fs.readdir(store.layout.checkpointsOf(id)), ['v0']);
  });

  it('a rest that was dropped does not come back, and the VM is there', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const id = await fixture.sprite(genesis);
    const vm = await store.openVm(id, (await store.rest(id)) as Snapshot, { uid, memory: true });
    await store.dropRest(id);
    await fixture.cutPower();
    assert.equal(await store.rest(id), undefined);
    assert.deepEqual(await store.vmDirs(id), [vm]);
    assert.deepEqual(await store.vmManifest(vm), genesis.manifest);
    assert.deepEqual(await fs.readFile(path.join(vm.path, 'disk')), await fs.readFile(path.join(genesis.path, 'disk')));
  });

  it('what was removed does not come back', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    await using draft = await store.draftCheckpoint(id, 'v0');
    await draft.commit(await fill(draft));
    await store.removeCheckpoint(id, 'v0');
    await fixture.cutPower();
    assert.equal(await store.checkpoint(id, 'v0'), undefined);
    assert.ok(await store.rest(id));
    await store.removeSprite(id);
    await fixture.cutPower();
    assert.equal(await store.rest(id), undefined);
    await fixture.sweep();
    const left = await fixture.tree();
    assert.deepEqual(
      left.filter((name) => name.includes(id) || name.includes('rm-')),
      [],
    );
  });
});

describe('a sprite', () => {
  it('begins at rest on a copy of a snapshot, with journals of its own', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const [one, two] = [await fixture.sprite(genesis), await fixture.sprite(genesis)];
    const rest = (await store.rest(one)) as Snapshot;
    assert.deepEqual(rest.manifest, genesis.manifest);
    assert.equal(await store.damage(rest), undefined);
    assert.ok(await shareBlocks(path.join(rest.path, 'disk'), path.join(genesis.path, 'disk')));
    assert.notEqual(await inode(rest.path, 'disk'), await inode(genesis.path, 'disk'));
    assert.equal(await inode(rest.path, 'ram'), await inode(genesis.path, 'ram'));
    assert.deepEqual(await fixture.tree(`sprites/${one}`), [
      'rest/',
      'rest/dev',
      'rest/disk',
      'rest/initrd',
      'rest/kernel',
      'rest/ram',
      'rest/snapshot.json',
      'sessions/',
      'sessions/1/',
      'sessions/1/journal',
    ]);
    await fs.appendFile(path.join(store.sessionsDir(one), '1/journal'), ' goes on');
    assert.equal(await fs.readFile(path.join(store.sessionsDir(two), '1/journal'), 'utf8'), 'output');
  });

  it('has a place for journals when its snapshot has none', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis({ sessions: [] });
    assert.equal(store.journals(genesis), undefined);
    await fs.rm(path.join(genesis.path, 'sessions'), { recursive: true });
    assert.deepEqual(await fs.readdir(store.sessionsDir(await fixture.sprite(genesis))), []);
  });

  it('leaves nothing when it could not be made', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    await fs.rm(path.join(genesis.path, 'kernel'));
    await store[Symbol.asyncDispose]();
    const sprites = await fs.readdir(store.layout.sprites);
    await assert.rejects(fixture.sprite(genesis), { code: 'ENOENT' });
    assert.deepEqual(await fs.readdir(store.layout.sprites), sprites);
  });

  it('goes with its checkpoints, however often it is told to', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const id = await fixture.sprite(genesis);
    await using draft = await store.draftCheckpoint(id, 'v0');
    await draft.commit(await fill(draft));
    await store.removeSprite(id);
    await store.removeSprite(id);
    assert.equal(await store.rest(id), undefined);
    assert.equal(await store.checkpoint(id, 'v0'), undefined);
    await store[Symbol.asyncDispose]();
    for (const shelf of [store.layout.sprites, store.layout.checkpoints])
      assert.deepEqual(
        (await fs.readdir(shelf)).filter((name) => name === id || name.startsWith('rm-')),
        [],
      );
    assert.equal(await store.damage(genesis), undefined, 'what it was made from stays');
  });
});

describe('the working directory of a VM', () => {
  it('started from memory shares the blocks of the disk and is linked to the memory', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    const vm = await store.openVm(id, rest, { uid, memory: true });
    assert.equal(path.basename(vm.path), 'vm-1');
    assert.ok(await shareBlocks(path.join(vm.path, 'disk'), path.join(rest.path, 'disk')));
    for (const name of ['ram', 'kernel', 'initrd'])
      assert.equal(await inode(vm.path, name), await inode(rest.path, name), name);
    assert.deepEqual(await store.vmManifest(vm), rest.manifest);

    const before = await fs.readFile(path.join(rest.path, 'disk'));
    await fs.writeFile(path.join(vm.path, 'disk'), 'the VM writes');
    assert.deepEqual(await fs.readFile(path.join(rest.path, 'disk')), before, 'a snapshot never changes');
  });

  it('started from the disk has memory that is all zeros and takes no space, and the guest that was asked for', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    const newer = 'feed'.repeat(4);
    await fixture.write({ [`guests/${newer}/kernel`]: 'newer kernel', [`guests/${newer}/initrd`]: 'newer initrd' });
    const same = await store.openVm(id, rest, { uid, memory: false });
    assert.equal(await inode(same.path, 'kernel'), await inode(rest.path, 'kernel'));
    const vm = await store.openVm(id, rest, { uid, memory: false, guestDigest: newer });
    const ram = await fs.stat(path.join(vm.path, 'ram'));
    assert.deepEqual([ram.size, ram.blocks, ram.nlink], [ramMib * 2 ** 20, 0, 1]);
    assert.equal(await inode(vm.path, 'kernel'), await inode(store.layout.guest(newer), 'kernel'));
    assert.equal(await fs.readFile(path.join(vm.path, 'initrd'), 'utf8'), 'newer initrd');
    assert.equal((await store.vmManifest(vm)).guest.digest, newer);
  });

  it('lets its user write the disk and the sockets, and nobody else look in', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const vm = await store.openVm(id, (await store.rest(id)) as Snapshot, { uid, memory: true });
    const rights = async (name: string) => {
      const stat = await fs.stat(path.join(vm.path, name));
      return [stat.uid, stat.gid, (stat.mode & 0o777).toString(8)];
    };
    assert.deepEqual(await rights('.'), [0, uid, '750']);
    assert.deepEqual(await rights('disk'), [uid, uid, '600']);
    assert.deepEqual(await rights('run'), [uid, uid, '700']);
    assert.equal((await rights('ram'))[0], 0);
  });

  it('is numbered on from the newest there is', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    for (let number = 1; number <= 11; number++) await store.openVm(id, rest, { uid, memory: true });
    const numbers = async () => (await store.vmDirs(id)).map((vm) => vm.number);
    assert.deepEqual(await numbers(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const [first, second] = await store.vmDirs(id);
    assert.ok(first && second);
    await store.removeVm(first);
    await store.removeVm(first);
    await store.removeVm(second);
    assert.deepEqual(await numbers(), [3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.equal((await store.openVm(id, rest, { uid, memory: true })).number, 12);
    await store[Symbol.asyncDispose]();
    assert.ok(!(await fixture.tree(`sprites/${id}`)).some((name) => name.startsWith('rm-')));
    assert.deepEqual(await store.vmDirs(`sprite-${randomUUID()}`), []);
  });

  it('becomes the sprite when its rest is dropped, and its disk the next rest', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    const vm = await store.openVm(id, rest, { uid, memory: true });
    await store.dropRest(id);
    await store.dropRest(id);
    assert.equal(await store.rest(id), undefined);
    assert.ok((await fs.stat(path.join(vm.path, 'ram'))).size > 0, 'the memory it is linked to is still there');
    await fs.writeFile(path.join(vm.path, 'disk'), 'written by the VM');
    await using draft = await store.draftRest(id);
    await store.fillFromVm(draft, vm);
    const { machine: _, devSha256: __, deviceFormat: ___, ...manifest } = rest.manifest;
    await draft.commit({ ...manifest, kind: 'disk', sizes: { disk: 17 }, sessions: [] });
    await store.removeVm(vm);
    const present = (await store.rest(id)) as Snapshot;
    assert.equal(await fs.readFile(path.join(present.path, 'disk'), 'utf8'), 'written by the VM');
    assert.equal(await fs.readFile(path.join(present.path, 'kernel'), 'utf8'), 'kernel');
    assert.equal(await store.damage(present), undefined, 'a disk has no memory to miss');
  });

  it('without a manifest, or of a snapshot without a disk, is none', async () => {
    const { store } = fixture;
    const id = await fixture.sprite();
    const rest = (await store.rest(id)) as Snapshot;
    const vm = await store.openVm(id, rest, { uid, memory: true });
    await fs.rm(path.join(vm.path, 'snapshot.json'));
    await fails(store.vmManifest(vm), 'vm_failed', /has no manifest/);
    await fs.rm(path.join(rest.path, 'disk'));
    await assert.rejects(store.openVm(id, rest, { uid, memory: true }), { code: 'ENOENT' });
    assert.deepEqual(await store.vmDirs(id), [vm]);
    assert.ok(!(await fixture.tree(`sprites/${id}`)).some((name) => name.startsWith('new-')));
  });
});

describe('the working directory of a genesis', () => {
  it('has the disk of the image at the wanted size, and is found by the next daemon', async () => {
    const { store } = fixture;
    const [imageDigest, guestDigest] = ['abba'.repeat(4), 'dada'.repeat(4)];
    await fixture.write({ [`guests/${guestDigest}/kernel`]: 'kernel', [`guests/${guestDigest}/initrd`]: 'initrd' });
    const image = store.layout.image(imageDigest);
    await fs.mkdir(path.dirname(image));
    await fs.writeFile(image, '');
    await fs.truncate(image, 16 * 2 ** 20);
    await tool('mkfs.ext4', '-q', '-F', image);
    const { manifest } = await fixture.genesis();
    const vm = await store.openGenesisVm({ imageDigest, guestDigest, storageGb: 1 }, manifest, uid);
    const disk = path.join(vm.path, 'disk');
    assert.equal((await fs.stat(disk)).size, 2 ** 30);
    await tool('e2fsck', '-f', '-n', disk);
    assert.equal((await fs.stat(path.join(vm.path, 'ram'))).blocks, 0);
    assert.equal((await fs.stat(image)).size, 16 * 2 ** 20);
    assert.deepEqual((await store.vmManifest(vm)).sizes, { disk: 2 ** 30 });
    await using other = await store.draftTransient();
    assert.deepEqual(await store.genesisVmDirs(), [vm], `not ${other.path}`);
    await store.removeVm(vm);
    await store[Symbol.asyncDispose]();
    assert.deepEqual(await store.genesisVmDirs(), []);
  });

  it('refuses a disk the image does not fit, and leaves nothing', async () => {
    const { store } = fixture;
    const imageDigest = 'face'.repeat(4);
    const image = store.layout.image(imageDigest);
    await fs.mkdir(path.dirname(image));
    await fs.writeFile(image, '');
    await fs.truncate(image, 3 * 2 ** 30);
    await tool('mkfs.ext4', '-q', '-F', '-O', '^has_journal', image);
    const inside = path.join(fixture.disk.path, 'image');
    await fs.mkdir(inside);
    await tool('mount', '-o', 'loop', image, inside);
    await tool('fallocate', '-l', String(1.5 * 2 ** 30), path.join(inside, 'file'));
    await tool('umount', inside);
    const { manifest } = await fixture.genesis();
    await store[Symbol.asyncDispose]();
    const before = await fs.readdir(store.layout.transient);
    await fails(
      store.openGenesisVm({ imageDigest, guestDigest: manifest.guest.digest, storageGb: 1 }, manifest, uid),
      'invalid_size',
      /does not fit a disk of 1 GiB/,
    );
    assert.deepEqual(await fs.readdir(store.layout.transient), before);
  });
});

describe('a genesis', () => {
  it('is found by its key, and can be replaced without touching sprites made from it', async () => {
    const { store } = fixture;
    const key = 'ab12'.repeat(4);
    assert.equal(await store.genesis(key), undefined);
    const make = async () => {
      await using draft = await store.draftGenesis(key);
      return await draft.commit(await fill(draft));
    };
    const first = await make();
    assert.deepEqual(await store.genesis(key), first);
    const id = await fixture.sprite(first);
    await store.removeGenesis(key);
    await store.removeGenesis(key);
    assert.equal(await store.genesis(key), undefined);
    assert.notDeepEqual((await make()).manifest, first.manifest);
    assert.equal(await store.damage((await store.rest(id)) as Snapshot), undefined);
  });
});

describe('damage', () => {
  it('is a manifest that cannot be read: vm_failed, and nothing else than that snapshot', async () => {
    const { store } = fixture;
    const good = JSON.stringify((await fixture.genesis()).manifest);
    for (const [text, why] of [
      ['', /damaged/],
      ['{"version":1', /damaged/],
      ['[]', /damaged/],
      [good.replace('"version":1', '"version":2'), /damaged/],
      [good.replace('{', '{"more":1,'), /damaged/],
      [good + ' '.repeat(2 ** 20), /far too large/],
    ] as const) {
      const id = await fixture.sprite();
      await fs.writeFile(path.join(store.layout.rest(id), 'snapshot.json'), text);
      await fails(store.rest(id), 'vm_failed', why);
    }
    const id = await fixture.sprite();
    await fs.rm(path.join(store.layout.rest(id), 'snapshot.json'));
    assert.equal(await store.rest(id), undefined);
  });

  it('is found where a file is missing or has another size, or the device state another content', async () => {
    const { store } = fixture;
    const damaged = async (change: (directory: string) => Promise<void>): Promise<string | undefined> => {
      const genesis = await fixture.genesis();
      assert.equal(await store.damage(genesis), undefined);
      await change(genesis.path);
      return store.damage(genesis);
    };
    for (const name of ['disk', 'ram', 'dev']) {
      assert.equal(await damaged((dir) => fs.rm(path.join(dir, name))), `its file ${name} is missing`);
      assert.match(
        (await damaged((dir) => fs.truncate(path.join(dir, name), 100))) ?? '',
        new RegExp(`its file ${name} has 100 bytes instead of `),
      );
    }
    assert.match(
      (await damaged((dir) => fs.writeFile(path.join(dir, 'dev'), Buffer.alloc(512)))) ?? '',
      /device state does not have the hash/,
    );
  });
});

describe('space', () => {
  it('is counted as what files take', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const bytes = await store.allocatedBytes(genesis);
    assert.ok(bytes >= 256 * 1024 && bytes < 2 ** 20, `${bytes} bytes, of RAM that is mostly a hole`);
    const { totalBytes, freeBytes } = await store.capacity();
    assert.ok(totalBytes > 4 * 2 ** 30 && freeBytes > 0 && freeBytes < totalBytes);
  });

  it('that is used up is told as pool_full, with nothing half-made left', async () => {
    const { store } = fixture;
    const genesis = await fixture.genesis();
    const id: SpriteId = await fixture.sprite(genesis);
    const rest = (await store.rest(id)) as Snapshot;
    await store[Symbol.asyncDispose]();
    const before = await fixture.tree();
    const full = await fillPool();
    await fails(fixture.sprite(genesis), 'pool_full', /the new sprite was not done/);
    await fails(store.openVm(id, rest, { uid, memory: false }), 'pool_full', /starting the VM was not done/);
    {
      await using draft = await store.draftCheckpoint(id, 'v0').catch(() => undefined);
      if (draft) await fails(draft.commit(rest.manifest), 'pool_full', /the snapshot was not done/);
    }
    assert.equal(await store.checkpoint(id, 'v0'), undefined);
    assert.equal(await store.damage(rest), undefined);
    await Promise.all(full.map((file) => fs.rm(file, { force: true })));
    assert.deepEqual(
      (await fixture.tree()).filter((name) => name !== `checkpoints/${id}/`),
      before,
    );
    await fixture.sprite(genesis);
  });
});

/** Takes every block of the pool; the files that hold them. */
async function fillPool(): Promise<string[]> {
  const files: string[] = [];
  for (let bytes = 2 ** 32; bytes >= 4096; bytes /= 2) {
    for (;;) {
      const file = path.join(fixture.pool.root, `full-${files.length}`);
      files.push(file);
      try {
        await tool('fallocate', '-l', String(bytes), file);
      } catch {
        // No piece of this size is left: the next is half of it.
        break;
      }
    }
  }
  return files;
}
