import assert from 'node:assert/strict';
import { copyFile, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { contentDigest, makeDisk, parseDataRanges, storedBytes } from './disk.ts';
import { run } from './run.ts';

const mib = 2 ** 20;
let dir = '';
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'sylph-disk-'))));
after(async () => await rm(dir, { recursive: true }));

describe('parseDataRanges', () => {
  it('pairs data with the hole after it', () => {
    const text = 'Whence\tResult\nDATA\t0\nHOLE\t4096\nDATA\t65536\nHOLE\t131072\n';
    assert.deepEqual(parseDataRanges(text, 131072), [
      { start: 0, end: 4096 },
      { start: 65536, end: 131072 },
    ]);
  });

  it('finds nothing in a file of holes', () =>
    assert.deepEqual(parseDataRanges('Whence\tResult\nHOLE\t0\n', 4096), []));
});

describe('contentDigest', () => {
  it('is the same for holes and for written zeroes, and changes with content, place and length', async () => {
    const sparse = join(dir, 'sparse');
    const dense = join(dir, 'dense');
    await writeFile(sparse, '');
    await truncate(sparse, 3 * mib + 17);
    const write = async (file: string, position: number): Promise<void> => {
      await using handle = await open(file, 'r+');
      await handle.write('content', position);
    };
    await write(sparse, 2 * mib);
    await run('cp', ['--sparse=never', sparse, dense], { timeoutMs: 10_000 });
    const digest = await contentDigest(sparse);
    assert.equal(await contentDigest(dense), digest);
    await write(dense, mib);
    assert.notEqual(await contentDigest(dense), digest);
    const moved = join(dir, 'moved');
    await writeFile(moved, '');
    await truncate(moved, 3 * mib + 17);
    await write(moved, mib);
    assert.notEqual(await contentDigest(moved), digest);
    const longer = join(dir, 'longer');
    await copyFile(sparse, longer);
    await truncate(longer, 4 * mib);
    assert.notEqual(await contentDigest(longer), digest);
  });
});

describe('makeDisk', () => {
  it('makes a sound file system that stores little more than its files and a journal', async () => {
    const tree = join(dir, 'tree');
    const disk = join(dir, 'disk');
    await run('mkdir', [tree], { timeoutMs: 10_000 });
    await writeFile(join(tree, 'hello'), 'hello');
    await makeDisk(tree, disk, { diskBytes: 2 * 2 ** 30, progress: () => {} });
    await run('e2fsck', ['-f', '-n', disk], { timeoutMs: 60_000 });
    const content = await run('debugfs', ['-R', 'cat /hello', disk], { collect: true, timeoutMs: 10_000 });
    assert.equal(content.toString(), 'hello');
    assert.ok((await storedBytes(disk)) < 80 * mib);
    const facts = (await run('dumpe2fs', [disk], { collect: true, timeoutMs: 10_000 })).toString();
    assert.doesNotMatch(
      facts,
      /\[INODE_UNINIT(, BLOCK_UNINIT)?\]/,
      'the kernel would initialize inode tables in the background',
    );
  });
});
