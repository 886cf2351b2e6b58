import { readdir, rmdir, unlink } from 'node:fs/promises';
import path from 'node:path';

/** Removes a directory of plain files; none is fine. Node's own recursive removal asks for each entry's kind on the main thread, which after every command is felt. */
export async function removeDir(dir: string): Promise<void> {
  try {
    await Promise.all((await readdir(dir)).map((name) => unlink(path.join(dir, name))));
    await rmdir(dir);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
