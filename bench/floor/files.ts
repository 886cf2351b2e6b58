import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';

/** Bytes of a guest page. */
export const pageBytes = 4096;

/** Copies by sharing blocks; throws where the file system cannot. */
export function reflink(from: string, to: string): void {
  fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE_FORCE);
}

/** Flushes files and the directory that holds them. */
export async function syncFiles(dir: string, names: readonly string[]): Promise<void> {
  await Promise.all([...names.map((name) => path.join(dir, name)), dir].map(syncPath));
}

async function syncPath(target: string): Promise<void> {
  const handle = await fsp.open(target, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
