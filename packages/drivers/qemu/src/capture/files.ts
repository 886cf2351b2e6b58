import { createHash } from 'node:crypto';
import fs from 'node:fs';

/** Longest device state taken, bytes; real ones have some 100 KiB. */
const maxDevBytes = 64 << 20;

/** Opens a file in a directory the hypervisor's uid may write: no link is followed, nothing but a regular file is taken. The caller closes it. */
export function openUntrusted(path: string): number {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  if (fs.fstatSync(fd).isFile()) return fd;
  fs.closeSync(fd);
  throw new Error(`${path} is not a regular file`);
}

/** Reflinks the disk, on another thread of Node's. Its size in bytes. The target must not exist. */
export async function cloneDisk(source: string, target: string): Promise<number> {
  const fd = openUntrusted(source);
  try {
    await fs.promises.copyFile(
      `/proc/self/fd/${fd}`,
      target,
      fs.constants.COPYFILE_FICLONE_FORCE | fs.constants.COPYFILE_EXCL,
    );
    return fs.fstatSync(fd).size;
  } finally {
    fs.closeSync(fd);
  }
}

/** Writes out what the disk has in caches, without waiting for it: QEMU flushes the disk while the guest stands still, and then finds less to do. */
export function startFlush(source: string): void {
  const fd = openUntrusted(source);
  fs.fdatasync(fd, () => {
    // A failure shows again in the flush that counts: the one of the copy.
    fs.closeSync(fd);
  });
}

/** Reads the device state QEMU wrote and removes it. */
export function takeDev(path: string): Buffer {
  const fd = openUntrusted(path);
  try {
    const { size } = fs.fstatSync(fd);
    if (size === 0 || size > maxDevBytes) throw new Error(`device state of ${size} bytes`);
    const state = Buffer.alloc(size);
    if (fs.readSync(fd, state, 0, size, 0) !== size) throw new Error('device state changed while it was read');
    return state;
  } finally {
    fs.closeSync(fd);
    fs.rmSync(path, { force: true });
  }
}

/** Writes the device state, synced. SHA-256 of it, hex. */
export function writeDev(path: string, state: Buffer): string {
  fs.writeFileSync(path, state, { mode: 0o400, flag: 'wx', flush: true });
  return createHash('sha256').update(state).digest('hex');
}

/** Makes a file durable. */
export function syncFile(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
