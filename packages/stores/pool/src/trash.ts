import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { errno, syncDirectory } from './files.ts';

/** Prefixes of directories that are not (yet, any more) part of the pool. The sweep at start removes both. */
export const unfinishedPrefix = 'new-';
export const removedPrefix = 'rm-';

/** Whether an entry is not yet, or no longer, part of the pool. */
export function isPassing(name: string): boolean {
  return name.startsWith(unfinishedPrefix) || name.startsWith(removedPrefix);
}

/** A name nobody else has, with one of the prefixes. */
export function temporaryName(prefix: typeof unfinishedPrefix | typeof removedPrefix): string {
  return prefix + randomBytes(8).toString('hex');
}

/**
 * Removes directories: the rename is the removal, deleting happens afterwards, in the background. A daemon that dies in between leaves `rm-*` for the next sweep.
 */
export class Trash {
  readonly #pending = new Set<Promise<void>>();

  /** Resolves when the directory no longer exists under its name, durably when `sync`. Missing: nothing to do. */
  async remove(directory: string, options: { sync: boolean }): Promise<void> {
    const parent = path.dirname(directory);
    const doomed = path.join(parent, temporaryName(removedPrefix));
    try {
      await fs.rename(directory, doomed);
    } catch (error) {
      if (errno(error) === 'ENOENT') return;
      throw error;
    }
    if (options.sync) await syncDirectory(parent);
    // A failure to delete loses nothing: the next sweep tries again.
    const deletion = fs.rm(doomed, { recursive: true, force: true }).catch(() => undefined);
    this.#pending.add(deletion);
    void deletion.then(() => this.#pending.delete(deletion));
  }

  /** Waits for deletions under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }
}
