import fs from 'node:fs';
import { pageBytes } from '@sylph/model/page';
import { mappingOf } from '../procfs.ts';
import { batchBytes } from './batch.ts';
import { freeNow } from './free.ts';

const entryBytes = 8;
/** High halves of /proc/PID/pagemap entries (Documentation/admin-guide/mm/pagemap.rst): present or swapped, and file-backed or shared. */
const inUse = 0xc000_0000;
const fileBacked = 0x2000_0000;

/** The guest's RAM in its hypervisor's address space. `close` it. */
export class GuestMemory {
  readonly #memory: number;
  readonly #pagemap: number;
  readonly #start: bigint;
  readonly #pages: number;
  readonly #entries = Buffer.allocUnsafe((batchBytes / pageBytes) * entryBytes);
  readonly #flags = new Uint8Array(batchBytes / pageBytes);
  readonly #batch = Buffer.allocUnsafe(batchBytes);

  /** `ramPath` is the file it is mapped from. Throws when the process is gone or maps something else. */
  constructor(pid: number, ramPath: string, ramBytes: number) {
    const mapping = mappingOf(pid, fs.realpathSync(ramPath));
    if (mapping === undefined || Number(mapping.end - mapping.start) !== ramBytes)
      throw new Error(`process ${pid} does not map ${ramBytes} bytes of ${ramPath}`);
    this.#start = mapping.start;
    this.#pages = ramBytes / pageBytes;
    this.#memory = fs.openSync(`/proc/${pid}/mem`, 'r');
    this.#pagemap = fs.openSync(`/proc/${pid}/pagemap`, 'r');
  }

  /** Runs of pages the guest has copies of its own of, in order, as [first, end). Every other page is the file's. */
  *privateRuns(): Generator<[number, number]> {
    const chunk = Buffer.allocUnsafe(batchBytes);
    const entries = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.length / 4);
    let runFrom = -1;
    for (let first = 0; first < this.#pages; first += batchBytes / entryBytes) {
      const count = Math.min(batchBytes / entryBytes, this.#pages - first);
      readFully(
        this.#pagemap,
        chunk,
        count * entryBytes,
        this.#start / BigInt(pageBytes / entryBytes) + BigInt(first * entryBytes),
      );
      for (let index = 0; index < count; index++) {
        const own = isPrivate(entries[2 * index + 1] as number);
        if (own === runFrom >= 0) continue;
        if (!own) yield [runFrom, first + index];
        runFrom = own ? first + index : -1;
      }
    }
    if (runFrom >= 0) yield [runFrom, this.#pages];
  }

  /**
   * For each page of the range, at most {@link batchBytes} of it, whether the guest has a copy of its own (1) or not (0); valid until the next call.
   * A page of which it has none now never had another content than the file's.
   */
  privatePages(offset: number, bytes: number): Uint8Array {
    const count = bytes / pageBytes;
    readFully(
      this.#pagemap,
      this.#entries,
      count * entryBytes,
      this.#start / BigInt(pageBytes / entryBytes) + BigInt((offset / pageBytes) * entryBytes),
    );
    for (let index = 0; index < count; index++)
      this.#flags[index] = isPrivate(this.#entries.readUInt32LE(index * entryBytes + 4)) ? 1 : 0;
    return this.#flags.subarray(0, count);
  }

  /** Bytes of RAM, valid until the next call. At most {@link batchBytes}. */
  read(offset: number, bytes: number): Buffer {
    readFully(this.#memory, this.#batch, bytes, this.#start + BigInt(offset));
    return this.#batch.subarray(0, bytes);
  }

  close(): void {
    fs.closeSync(this.#memory);
    fs.closeSync(this.#pagemap);
    freeNow(this.#batch);
  }
}

function isPrivate(highHalf: number): boolean {
  return (highHalf & inUse) !== 0 && (highHalf & fileBacked) === 0;
}

function readFully(fd: number, into: Buffer, bytes: number, position: bigint): void {
  for (let done = 0; done < bytes;) {
    const read = fs.readSync(fd, into, done, bytes - done, position + BigInt(done));
    if (read === 0) throw new Error('the hypervisor is gone');
    done += read;
  }
}
