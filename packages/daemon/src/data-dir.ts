import fs from 'node:fs/promises';
import path from 'node:path';
import { SylphError } from '@sylph/model';

/** Makes the data directory, and those above it that are missing. Throws `host_unfit` when it cannot be had, or nothing can be made in it. */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await makeDirectory(path.resolve(dataDir));
    await fs.rmdir(await fs.mkdtemp(path.join(dataDir, 'new-')));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SylphError('host_unfit', `the data directory ${dataDir} cannot be used: ${reason}`, {
      hint: 'Give --data-dir a directory that the user of sylphd can write to.',
      cause: error,
    });
  }
}

/** Node's own recursive `mkdir` tries for ever where the system answers ENOENT although the directory above exists, as /proc does. */
async function makeDirectory(directory: string): Promise<void> {
  if (await isDirectory(directory)) return;
  const above = path.dirname(directory);
  if (above !== directory) await makeDirectory(above);
  try {
    await fs.mkdir(directory, { mode: 0o711 });
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if (!(await isDirectory(directory))) throw error;
  }
}

async function isDirectory(directory: string): Promise<boolean> {
  try {
    return (await fs.stat(directory)).isDirectory();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
