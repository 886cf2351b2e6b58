import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileHandle } from 'node:fs/promises';

/**
 * A directory under construction beside its final place: `new-<pid>-<random>`. Either {@link Staging.publish} renames it in, whole and
 * on disk, or disposing of it removes it.
 */
export class Staging implements AsyncDisposable {
  readonly dir: string;
  readonly #parent: string;

  private constructor(parent: string, dir: string) {
    this.#parent = parent;
    this.dir = dir;
  }

  /** Makes the directory and its parent, and removes what dead builders left in the parent. */
  static async create(parent: string): Promise<Staging> {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    const dir = join(parent, `new-${process.pid}-${randomBytes(6).toString('hex')}`);
    await mkdir(dir, { mode: 0o755 });
    return new Staging(parent, dir);
  }

  /**
   * Syncs every file, then renames the directory to `name`. When `name` exists already, which with digests for names means the same
   * content, that one stays. Returns the published path.
   */
  async publish(name: string): Promise<string> {
    const target = join(this.#parent, name);
    if (await exists(target)) return target;
    for (const entry of await readdir(this.dir, { withFileTypes: true })) {
      if (entry.isFile()) await sync(join(this.dir, entry.name));
    }
    await sync(this.dir);
    try {
      await rename(this.dir, target);
    } catch (error) {
      // Another builder of the same content was faster between the check and the rename; its result serves.
      if (!(await exists(target))) throw error;
      return target;
    }
    await sync(this.#parent);
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Whether a path exists. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    // Missing and unreachable are the same answer here; using the path reports the reason.
    return false;
  }
}

async function sync(path: string): Promise<void> {
  await using handle: FileHandle = await open(path, 'r');
  await handle.sync();
}

/** Removes `new-<pid>-*` of builders that no longer live. */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^new-([1-9][0-9]*)-[0-9a-f]+$/.exec(name)?.[1];
    if (pid !== undefined && !(await exists(`/proc/${pid}`)))
      await rm(join(parent, name), { recursive: true, force: true });
  }
}
