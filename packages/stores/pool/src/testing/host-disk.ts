import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a system program; its output. */
export async function tool(program: string, ...args: string[]): Promise<string> {
  return (await run(program, args, { timeout: 60_000 })).stdout;
}

/**
 * A host's disk of a size of its own: ext4, which cannot reflink, in a sparse file, mounted. Takes a few megabytes. Dispose unmounts whatever is mounted in it and removes it.
 */
export class HostDisk implements AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
    this.path = path.join(dir, 'disk');
  }

  static async make(sizeBytes: number): Promise<HostDisk> {
    const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-pool-'));
    const disk = new HostDisk(dir);
    try {
      await fs.mkdir(disk.path);
      await fs.writeFile(disk.#file, '');
      await fs.truncate(disk.#file, sizeBytes);
      await tool('mkfs.ext4', '-q', '-F', '-m', '0', '-O', '^has_journal', disk.#file);
      await tool('mount', '-o', 'loop', disk.#file, disk.path);
      return disk;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Takes space away, until the file it returns the path of is removed. */
  async occupy(sizeBytes: number): Promise<string> {
    const file = path.join(this.path, `occupied-${randomUUID()}`);
    await tool('fallocate', '-l', String(sizeBytes), file);
    return file;
  }

  /** Mount points in it, innermost first. */
  async mounts(): Promise<string[]> {
    const points = (await fs.readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
    return points.filter((point) => point.startsWith(`${this.path}/`)).toReversed();
  }

  /** Loop devices on files in it. */
  async loops(): Promise<string[]> {
    const files = (await tool('losetup', '--list', '--noheadings', '--output', 'BACK-FILE')).split('\n');
    return files.map((file) => file.trim()).filter((file) => file.startsWith(`${this.path}/`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const point of await this.mounts()) await tool('umount', point);
    const mounted = (await fs.readFile('/proc/self/mounts', 'utf8')).includes(` ${this.path} `);
    if (mounted) await tool('umount', this.path);
    await fs.rm(this.#dir, { recursive: true });
  }

  get #file(): string {
    return path.join(this.#dir, 'disk.ext4');
  }
}
