import { createHash } from 'node:crypto';
import { open, stat, truncate, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { run, type Progress } from './run.ts';

const formatTimeoutMs = 30 * 60_000;
const mapTimeoutMs = 60_000;

/** Bytes of journal: what a sprite that writes a lot changes again and again on its disk, so kept small. */
const journalMib = 64;

/**
 * Makes an ext4 disk of `diskBytes` from a directory tree, as a sparse file. The free space is holes: mke2fs discards first, so inode
 * tables and journal need no zeroes and the kernel has no lazy initialization to do, which would dirty every sprite's disk in the background.
 */
export async function makeDisk(
  tree: string,
  file: string,
  { diskBytes, progress, signal }: { diskBytes: number; progress: Progress; signal?: AbortSignal | undefined },
): Promise<void> {
  await writeFile(file, '', { flag: 'wx' });
  await truncate(file, diskBytes);
  const features = [
    '-J',
    `size=${journalMib}`,
    '-E',
    'discard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0',
    '-e',
    'remount-ro',
  ];
  // No blocks reserved for root: everybody in a sprite may become root, and the agent writes to memory only.
  await run(
    'mke2fs',
    ['-q', '-F', '-t', 'ext4', '-b', '4096', '-m', '0', '-L', 'sprite', ...features, '-d', tree, file],
    {
      signal,
      timeoutMs: formatTimeoutMs,
      onLine: progress,
    },
  );
}

/** Bytes of a file that are stored: its holes do not count. */
export async function storedBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512;
}

/** Unit of {@link contentDigest}, bytes. */
const blockBytes = 64 * 1024;
const zeroBlock = Buffer.alloc(blockBytes);

/**
 * Hash of a disk's content: SHA-256 over its length and each 64 KiB block that is not all zero, preceded by its number (both u64be). The
 * same whichever blocks are holes, so a copy can be checked on another file system; holes are not read.
 */
export async function contentDigest(file: string, signal?: AbortSignal): Promise<string> {
  const { size } = await stat(file);
  const hash = createHash('sha256').update(u64(size));
  await using handle: FileHandle = await open(file, 'r');
  const buffer = Buffer.allocUnsafe(blockBytes);
  let next = 0;
  for (const range of await dataRanges(file, size, signal)) {
    const last = Math.ceil(range.end / blockBytes);
    for (let block = Math.max(next, Math.floor(range.start / blockBytes)); block < last; block++) {
      signal?.throwIfAborted();
      const length = Math.min(blockBytes, size - block * blockBytes);
      const bytes = await readFully(handle, buffer.subarray(0, length), block * blockBytes);
      if (!bytes.equals(zeroBlock.subarray(0, length))) hash.update(u64(block)).update(bytes);
      next = block + 1;
    }
  }
  return hash.digest('hex');
}

async function readFully(handle: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let got = 0;
  while (got < buffer.length) {
    const { bytesRead } = await handle.read(buffer, got, buffer.length - got, position + got);
    if (bytesRead === 0) throw new Error('the file became shorter while it was read');
    got += bytesRead;
  }
  return buffer;
}

/** Where a file holds data, in order. Node cannot ask for holes; xfs_io can, on any file system. */
async function dataRanges(
  file: string,
  size: number,
  signal: AbortSignal | undefined,
): Promise<{ start: number; end: number }[]> {
  if (size === 0) return [];
  const text = (
    await run('xfs_io', ['-r', '-c', 'seek -a -r 0', file], { collect: true, signal, timeoutMs: mapTimeoutMs })
  ).toString();
  return parseDataRanges(text, size);
}

/** Reads what `xfs_io -c 'seek -a -r 0'` prints: `DATA|HOLE offset` lines, the end of the file as a last hole or as EOF. */
export function parseDataRanges(text: string, size: number): { start: number; end: number }[] {
  const marks = [...text.matchAll(/^(DATA|HOLE)\s+(\d+)\s*$/gm)].map(([, kind, offset]) => ({
    kind,
    offset: Number(offset),
  }));
  return marks.flatMap(({ kind, offset }, index) =>
    kind === 'DATA' && offset < size ? [{ start: offset, end: Math.min(marks[index + 1]?.offset ?? size, size) }] : [],
  );
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
