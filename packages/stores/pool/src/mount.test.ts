import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { canReflink, closePool, isMounted, openPool } from './mount.ts';
import { HostDisk, tool } from './testing/host-disk.ts';

const gib = 2 ** 30;

const refused = (work: Promise<unknown>, text: RegExp): Promise<void> =>
  assert.rejects(
    work,
    (error) =>
      error instanceof SylphError &&
      error.code === 'host_unfit' &&
      error.hint !== undefined &&
      text.test(error.message),
  );

describe('opening a pool', () => {
  it('makes a sparse file with reflinks and mounts it, where the file system has none', async () => {
    await using disk = await HostDisk.make(6 * gib);
    assert.equal(await canReflink(disk.path), false);
    await fs.writeFile(path.join(disk.path, 'pool.xfs.new'), 'of a daemon that died while it made one');
    const pool = await openPool(disk.path);
    assert.deepEqual([pool.root, pool.kind], [path.join(disk.path, 'pool'), 'loop']);
    assert.match(pool.notices.join(), /made .*pool\.xfs, 5 GiB sparse/);
    assert.ok(await isMounted(pool.root));
    assert.ok(await canReflink(pool.root));
    const { size, blocks, mode } = await fs.stat(path.join(disk.path, 'pool.xfs'));
    assert.ok(blocks * 512 < size / 20, `${blocks * 512} of ${size} bytes are taken`);
    assert.equal(mode & 0o777, 0o600);
    assert.equal((await fs.stat(pool.root)).mode & 0o777, 0o711);
    assert.deepEqual((await fs.readdir(disk.path)).toSorted(), ['lost+found', 'pool', 'pool.xfs']);
    assert.deepEqual(await fs.readdir(pool.root), []);
  });

  it('finds what was in it, mounted still or again', async () => {
    await using disk = await HostDisk.make(6 * gib);
    const pool = await openPool(disk.path);
    await fs.writeFile(path.join(pool.root, 'file'), 'kept');
    const again = await openPool(disk.path);
    assert.deepEqual(again, { root: pool.root, kind: 'loop', notices: [] });
    assert.equal((await disk.loops()).length, 1);
    await closePool(again);
    assert.ok(!(await isMounted(pool.root)));
    assert.deepEqual(await disk.loops(), [], 'the loop device goes with the mount');
    await closePool(again);
    await openPool(disk.path);
    assert.equal(await fs.readFile(path.join(pool.root, 'file'), 'utf8'), 'kept');
  });

  it('is mounted again while a copy of its mount lives on in a mount namespace of somebody else', async () => {
    await using disk = await HostDisk.make(6 * gib);
    const pool = await openPool(disk.path);
    await fs.writeFile(path.join(pool.root, 'file'), 'kept');
    const other = spawn('unshare', ['--mount', 'sh', '-c', 'echo ready; read end'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    try {
      await once(other.stdout, 'data');
      await closePool(pool);
      assert.equal((await disk.loops()).length, 1, 'the copy holds the device');
      await openPool(disk.path);
      assert.equal(await fs.readFile(path.join(pool.root, 'file'), 'utf8'), 'kept');
      assert.equal((await disk.loops()).length, 1);
    } finally {
      other.stdin.end();
      await once(other, 'exit');
    }
    await closePool(pool);
    assert.deepEqual(await disk.loops(), []);
  });

  it('enlarges the pool with the space of the host, while it is mounted or not, and never shrinks it', async () => {
    await using disk = await HostDisk.make(10 * gib);
    const [first, second] = [await disk.occupy(2 * gib), await disk.occupy(2 * gib)];
    const pool = await openPool(disk.path);
    await fs.writeFile(path.join(pool.root, 'file'), 'kept');
    const sizes = async () => [
      (await fs.stat(path.join(disk.path, 'pool.xfs'))).size,
      await fs.statfs(pool.root).then(({ blocks, bsize }) => blocks * bsize),
    ];
    const [file, inside] = (await sizes()) as [number, number];
    await fs.rm(first);
    assert.match((await openPool(disk.path)).notices.join(), /enlarged the pool to 7 GiB/);
    const [largerFile, largerInside] = (await sizes()) as [number, number];
    assert.ok(largerFile > file * 1.2 && largerInside > inside * 1.2);
    await closePool(pool);
    await fs.rm(second);
    assert.match((await openPool(disk.path)).notices.join(), /enlarged the pool to 8 GiB/);
    const grown = await sizes();
    await disk.occupy(7 * gib);
    assert.deepEqual((await openPool(disk.path)).notices, []);
    assert.deepEqual(await sizes(), grown);
    assert.equal(await fs.readFile(path.join(pool.root, 'file'), 'utf8'), 'kept');
  });

  it('takes a directory of a file system with reflinks as it is', async () => {
    await using disk = await HostDisk.make(6 * gib);
    const outer = await openPool(disk.path);
    const dataDir = path.join(outer.root, 'data');
    await fs.mkdir(dataDir);
    const pool = await openPool(dataDir);
    assert.deepEqual(pool, { root: path.join(dataDir, 'pool'), kind: 'directory', notices: [] });
    await closePool(pool);
    assert.deepEqual(await fs.readdir(dataDir), ['pool']);
    assert.deepEqual(await fs.readdir(pool.root), []);
    assert.ok(await isMounted(outer.root));
  });

  it('refuses a host without reflinks and without the space for a file, and leaves nothing there', async () => {
    await using disk = await HostDisk.make(2 * gib);
    await refused(openPool(disk.path), /no file system with reflinks and too little free space/);
    assert.deepEqual((await fs.readdir(disk.path)).toSorted(), ['lost+found', 'pool']);
    assert.deepEqual(await disk.loops(), []);
  });

  it('leaves a file it cannot use as it is, with nothing mounted', async () => {
    await using disk = await HostDisk.make(6 * gib);
    const file = path.join(disk.path, 'pool.xfs');
    await fs.writeFile(file, 'no file system'.repeat(100_000));
    const before = await fs.readFile(file);
    await refused(openPool(disk.path), /could not be mounted/);
    assert.deepEqual(await fs.readFile(file), before);
    assert.deepEqual([await disk.mounts(), await disk.loops()], [[], []]);
    await fs.rm(file);
    await fs.writeFile(file, '');
    await fs.truncate(file, 5 * gib);
    await tool('mkfs.xfs', '-q', '-m', 'reflink=0', file);
    await refused(openPool(disk.path), /cannot be reflinked/);
    assert.deepEqual([await disk.mounts(), await disk.loops()], [[], []]);
  });
});

describe('finding out whether reflinks work', () => {
  it('leaves no file behind, and tells a failure from a no', async () => {
    await using disk = await HostDisk.make(6 * gib);
    const { root } = await openPool(disk.path);
    assert.deepEqual([await canReflink(root), await canReflink(disk.path)], [true, false]);
    assert.deepEqual(await fs.readdir(root), []);
    await assert.rejects(canReflink(path.join(root, 'missing')), { code: 'ENOENT' });
  });
});
