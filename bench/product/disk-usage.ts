import fs from 'node:fs/promises';
import path from 'node:path';
import { pageBytes } from '../floor/files.ts';
import { shell } from '../floor/shell.ts';

/** Bytes that exist for one sprite alone. */
export interface OwnBytes {
  /** In blocks no other file shares. */
  allocated: number;
  /** Of these, pages of RAM and blocks of disk that differ from the origin's: what changed. */
  changed: number;
}

interface Extent {
  offset: number;
  length: number;
}

/** Adds up the files below a directory. Those called `ram` and `disk` are compared with the origin's of that name. Hard links shared with others count nothing. */
export async function ownBytes(dir: string, originDir: string): Promise<OwnBytes> {
  const total: OwnBytes = { allocated: 0, changed: 0 };
  for (const entry of await fs.readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    if ((await fs.stat(file)).nlink > 1) continue;
    const extents = await unsharedExtents(file);
    total.allocated += extents.reduce((sum, { length }) => sum + length, 0);
    if (entry.name === 'ram' || entry.name === 'disk')
      total.changed += await changedBytes(file, path.join(originDir, entry.name), extents);
  }
  return total;
}

/** Extents of a file that are not shared, from the file system's own map (FIEMAP, as filefrag prints it: numbers in blocks of 4 KiB). */
async function unsharedExtents(file: string): Promise<Extent[]> {
  const text = await shell('filefrag', ['-s', '-v', '-b4096', file]);
  return [...text.matchAll(/^ *\d+: +(\d+)\.\. *\d+: +\d+\.\. *\d+: +(\d+):(.*)$/gm)]
    .filter(([, , , flags]) => !/\bshared\b/.test(flags ?? ''))
    .map(([, first, count]) => ({ offset: Number(first) * pageBytes, length: Number(count) * pageBytes }));
}

async function changedBytes(file: string, origin: string, extents: readonly Extent[]): Promise<number> {
  await using own = await fs.open(file, 'r');
  await using other = await fs.open(origin, 'r');
  let changed = 0;
  for (const { offset, length } of extents) {
    const [a, b] = [Buffer.alloc(length), Buffer.alloc(length)];
    await Promise.all([own.read(a, 0, length, offset), other.read(b, 0, length, offset)]);
    for (let at = 0; at < length; at += pageBytes)
      if (a.compare(b, at, at + pageBytes, at, at + pageBytes) !== 0) changed += pageBytes;
  }
  return changed;
}
