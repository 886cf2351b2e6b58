import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { SylphError } from '@sylph/model';
import { errno, exists, reflink } from './files.ts';

const run = promisify(execFile);
const commandTimeoutMs = 60_000;
/** Part of the free space of the data directory's file system the pool may take; the rest keeps the host alive. */
const shareOfFreeSpace = 0.9;
/** Below this a pool cannot hold an image and a sprite. */
const minPoolBytes = 4 * 2 ** 30;

/** A pool that can be used. `loop`: a file mounted on `root`, by this call or an earlier daemon; {@link closePool} unmounts it. */
export interface OpenPool {
  root: string;
  kind: 'directory' | 'loop';
  notices: string[];
}

/**
 * Finds or makes the pool of a data directory: `pool/` itself where the file system there can reflink, else an XFS file `pool.xfs` mounted on it.
 * Throws `host_unfit` with the remedy where neither is possible, and leaves nothing mounted that was not. Whether reflinks work is found by making one.
 */
export async function openPool(dataDir: string): Promise<OpenPool> {
  const root = path.join(dataDir, 'pool');
  const file = path.join(dataDir, 'pool.xfs');
  await fs.mkdir(root, { recursive: true, mode: 0o711 });
  const loop = await exists(file);
  if (!loop && (await canReflink(root))) return { root, kind: 'directory', notices: [] };
  const notices = loop ? [] : [await createPoolFile(file)];
  await using undo = new AsyncDisposableStack();
  if (!(await isMounted(root))) {
    await mountPoolFile(file, root);
    undo.defer(() => closePool({ root, kind: 'loop' }));
  }
  notices.push(...(await growPoolFile(file, root)));
  if (!(await canReflink(root)))
    throw new SylphError('host_unfit', `${file} is mounted, but files on it cannot be reflinked`, {
      hint: 'Recreate it with mkfs.xfs -m reflink=1, or use a data directory on XFS or btrfs.',
    });
  await fs.chmod(root, 0o711);
  undo.move();
  return { root, kind: 'loop', notices };
}

/** Unmounts a loop-mounted pool. Nothing to do for a directory. */
export async function closePool(pool: Pick<OpenPool, 'root' | 'kind'>): Promise<void> {
  if (pool.kind === 'loop' && (await isMounted(pool.root)))
    await command('umount', [pool.root], 'the pool could not be unmounted');
}

/** Detects reflinks by doing one. */
export async function canReflink(directory: string): Promise<boolean> {
  const from = path.join(directory, `.reflink-${process.pid}`);
  const to = `${from}-copy`;
  try {
    await fs.writeFile(from, Buffer.alloc(4096, 1));
    await reflink(from, to);
    return true;
  } catch (error) {
    if (['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'EINVAL', 'EXDEV', 'ENOSYS'].includes(errno(error) ?? '')) return false;
    throw error;
  } finally {
    await fs.rm(from, { force: true });
    await fs.rm(to, { force: true });
  }
}

/** Whether something is mounted exactly there. */
export async function isMounted(directory: string): Promise<boolean> {
  const [own, parent] = await Promise.all([fs.stat(directory), fs.stat(path.dirname(directory))]);
  return own.dev !== parent.dev;
}

async function createPoolFile(file: string): Promise<string> {
  const wanted = await affordableBytes(path.dirname(file));
  if (wanted < minPoolBytes) {
    throw new SylphError(
      'host_unfit',
      `${path.dirname(file)} has no file system with reflinks and too little free space for a pool file`,
      {
        hint: `Free at least ${Math.ceil(minPoolBytes / shareOfFreeSpace / 2 ** 30)} GiB, or use a data directory on XFS or btrfs.`,
      },
    );
  }
  const building = `${file}.new`;
  await fs.rm(building, { force: true });
  const handle = await fs.open(building, 'wx', 0o600);
  await handle.truncate(wanted);
  await handle.close();
  await command('mkfs.xfs', ['-q', '-m', 'reflink=1', building], 'the pool file could not be formatted');
  await fs.rename(building, file);
  return `made ${file}, ${Math.floor(wanted / 2 ** 30)} GiB sparse, because ${path.dirname(file)} cannot reflink`;
}

/**
 * Mounts the pool file. Whoever made a mount namespace of his own while it was mounted before has a copy of that mount, and its device, which then goes on: a file system can be mounted from one device only, so that one is used.
 */
async function mountPoolFile(file: string, root: string): Promise<void> {
  const mount = (device: string): Promise<string> =>
    command('mount', ['-t', 'xfs', '-o', 'noatime', device, root], 'the pool file could not be mounted');
  const [held] = (
    await command(
      'losetup',
      ['--noheadings', '--output', 'NAME', '--associated', file],
      'the loop devices of the pool file could not be listed',
    )
  ).split('\n');
  if (held) {
    try {
      await mount(held.trim());
      return;
    } catch {
      // It may have gone this moment, with the last copy of the mount; if not, the next attempt says what is wrong.
    }
  }
  // Direct I/O on the loop device: the same speed without caching every byte twice. Freed blocks go back to the host by Trimmer, not at each deletion.
  const device = (
    await command(
      'losetup',
      ['--find', '--show', '--direct-io=on', file],
      'the pool file could not be attached to a loop device',
    )
  ).trim();
  try {
    await mount(device);
  } finally {
    // The mount keeps the device; with this it goes away by itself on unmount.
    await command('losetup', ['--detach', device], 'the loop device could not be released');
  }
}

/** The pool file follows the space of the host's file system, upwards only. */
async function growPoolFile(file: string, root: string): Promise<string[]> {
  const stat = await fs.stat(file);
  const wanted = stat.blocks * 512 + (await affordableBytes(path.dirname(file)));
  if (wanted < stat.size * 1.1) return [];
  await fs.truncate(file, wanted);
  const device = (
    await command('findmnt', ['--noheadings', '--output', 'SOURCE', root], 'the loop device of the pool was not found')
  ).trim();
  await command('losetup', ['--set-capacity', device], 'the loop device of the pool could not be enlarged');
  await command('xfs_growfs', [root], 'the pool could not be enlarged');
  return [`enlarged the pool to ${Math.floor(wanted / 2 ** 30)} GiB`];
}

async function affordableBytes(directory: string): Promise<number> {
  const stat = await fs.statfs(directory);
  return Math.floor((stat.bavail * stat.bsize * shareOfFreeSpace) / 2 ** 20) * 2 ** 20;
}

async function command(program: string, args: string[], what: string): Promise<string> {
  try {
    return (await run(program, args, { timeout: commandTimeoutMs })).stdout;
  } catch (error) {
    throw new SylphError('host_unfit', `${what}: ${error instanceof Error ? error.message.trim() : String(error)}`, {
      hint: 'sylphd must be root with loop devices available, or its data directory must lie on XFS or btrfs.',
      cause: error,
    });
  }
}
