import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { isNoSpace, noSpace } from '@sylph/model';

/** Reflink copy: shares all blocks until one side writes. Fails where the file system cannot. */
export async function reflink(from: string, to: string): Promise<void> {
  await fs.copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
}

/** Flushes a directory: its renames, links and removals survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a new file and flushes it. */
export async function writeSynced(file: string, text: string, mode = 0o444): Promise<void> {
  const handle = await fs.open(file, 'wx', mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The entries of a directory; none when it does not exist. */
export async function entries(directory: string): Promise<string[]> {
  try {
    return await fs.readdir(directory);
  } catch (error) {
    if (errno(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Whether a path exists, whatever it is. */
export async function exists(file: string): Promise<boolean> {
  try {
    await fs.lstat(file);
    return true;
  } catch (error) {
    if (errno(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Bytes of disk space a directory's files take. */
export async function allocated(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await fs.readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    bytes += (await fs.lstat(path.join(entry.parentPath, entry.name))).blocks * 512;
  }
  return bytes;
}

/** Error code of a failed system call. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Runs work on the pool; a full file system becomes `pool_full`. */
export async function guardSpace<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isNoSpace(error) ? noSpace(`${what} was not done, nothing changed`, error) : error;
  }
}
