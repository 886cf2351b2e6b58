import fs from 'node:fs';
import { pageBytes } from '@sylph/model/page';
import { runProgram } from '../supervise.ts';
import { batchBytes } from './batch.ts';
import { freeNow } from './free.ts';
import type { GuestMemory } from './memory.ts';

const batchPages = batchBytes / pageBytes;
/** Shorter runs of zeros are written: a hole of one page costs more (a split extent, a line to xfs_io) than the page. */
const minHolePages = 4;
const punchDeadlineMs = 60_000;

const zeroes = Buffer.alloc(batchBytes);

/** What became of a page. */
const page = { asOrigin: 0, written: 1, zero: 2, zeroOverWritten: 3 } as const;

/**
 * The RAM file of a capture, which begins as a reflink copy of the file the VM was started from (its origin) and gets what differs.
 * Pages equal to the origin's stay shared with it; pages of zeros become holes. Owned by one worker; `close` it.
 */
export class RamFile {
  readonly #origin: number;
  readonly #target: number;
  readonly #states: Uint8Array;
  readonly #originBatch = Buffer.allocUnsafe(batchBytes);

  /** `target` must not exist. Throws when the file system cannot share blocks or RAM has another size. */
  constructor(originPath: string, targetPath: string, ramBytes: number) {
    fs.copyFileSync(originPath, targetPath, fs.constants.COPYFILE_FICLONE_FORCE | fs.constants.COPYFILE_EXCL);
    this.#origin = fs.openSync(originPath, 'r');
    this.#target = fs.openSync(targetPath, 'r+');
    this.#states = new Uint8Array(ramBytes / pageBytes);
    const { size } = fs.fstatSync(this.#target);
    if (size === ramBytes) return;
    this.close();
    throw new Error(`RAM file has ${size} bytes instead of ${ramBytes}`);
  }

  /** Bytes that differ from the origin's. Final after `finish`. */
  get changedBytes(): number {
    let count = 0;
    for (const state of this.#states) if (state !== page.asOrigin) count++;
    return count * pageBytes;
  }

  /** Takes a run of whole pages, at most {@link batchBytes}. */
  write(offset: number, data: Buffer): void {
    const origin = this.#readOrigin(offset, data.length);
    const first = offset / pageBytes;
    let runFrom = -1;
    for (let at = 0; at < data.length; at += pageBytes) {
      const index = first + at / pageBytes;
      if (this.#mustWrite(index, data, origin, at)) {
        if (runFrom < 0) runFrom = at;
        continue;
      }
      if (runFrom >= 0) this.#writeOut(offset + runFrom, data.subarray(runFrom, at));
      runFrom = -1;
    }
    if (runFrom >= 0) this.#writeOut(offset + runFrom, data.subarray(runFrom));
  }

  /** Notes that a page is all zeros. */
  zero(offset: number): void {
    const index = offset / pageBytes;
    this.#states[index] =
      this.#states[index] === page.asOrigin || this.#states[index] === page.zero ? page.zero : page.zeroOverWritten;
  }

  /** Makes the holes. `memory`, if the VM is still there, spares looking at pages it never changed. */
  async finish(memory?: GuestMemory): Promise<void> {
    this.#dropZerosOfOrigin(memory);
    const holes: string[] = [];
    for (let from = 0; from < this.#states.length; from++) {
      if (!this.#isZero(from)) continue;
      let to = from + 1;
      while (this.#isZero(to)) to++;
      if (to - from >= minHolePages) holes.push(`fpunch ${from * pageBytes} ${(to - from) * pageBytes}`);
      else this.#writeOut(from * pageBytes, zeroes.subarray(0, (to - from) * pageBytes));
      from = to;
    }
    if (holes.length > 0) await this.#punch(holes);
  }

  sync(): void {
    fs.fchmodSync(this.#target, 0o444);
    fs.fsyncSync(this.#target);
  }

  close(): void {
    fs.closeSync(this.#origin);
    fs.closeSync(this.#target);
    freeNow(this.#originBatch);
  }

  #mustWrite(index: number, data: Buffer, origin: Buffer, at: number): boolean {
    // Only a page never written can be left as the origin has it.
    if (this.#states[index] === page.asOrigin && data.compare(origin, at, at + pageBytes, at, at + pageBytes) === 0)
      return false;
    if (data.compare(zeroes, 0, pageBytes, at, at + pageBytes) === 0) {
      this.zero(index * pageBytes);
      return false;
    }
    this.#states[index] = page.written;
    return true;
  }

  #isZero(index: number): boolean {
    return (this.#states[index] ?? page.asOrigin) >= page.zero;
  }

  /** Pages of zeros that are zeros in the origin too, mostly in its holes, need nothing. */
  #dropZerosOfOrigin(memory: GuestMemory | undefined): void {
    for (let first = 0; first < this.#states.length; first += batchPages) {
      const states = this.#states.subarray(first, first + batchPages);
      if (!states.includes(page.zero)) continue;
      const own = memory?.privatePages(first * pageBytes, states.length * pageBytes);
      if (own !== undefined)
        for (const [index, state] of states.entries())
          if (state === page.zero && own[index] === 0) states[index] = page.asOrigin;
      if (!states.includes(page.zero)) continue;
      const origin = this.#readOrigin(first * pageBytes, states.length * pageBytes);
      for (const [index, state] of states.entries()) {
        const at = index * pageBytes;
        if (state === page.zero && origin.compare(zeroes, 0, pageBytes, at, at + pageBytes) === 0)
          states[index] = page.asOrigin;
      }
    }
  }

  #readOrigin(offset: number, bytes: number): Buffer {
    const read = fs.readSync(this.#origin, this.#originBatch, 0, bytes, offset);
    if (read !== bytes) throw new Error(`origin RAM file ends at ${offset + read}`);
    return this.#originBatch.subarray(0, bytes);
  }

  #writeOut(offset: number, data: Buffer): void {
    for (let done = 0; done < data.length;)
      done += fs.writeSync(this.#target, data, done, data.length - done, offset + done);
  }

  /** Node has no fallocate; one xfs_io (its fpunch is the plain system call, on any file system) takes all holes from its standard input. */
  async #punch(holes: string[]): Promise<void> {
    try {
      await runProgram('xfs_io', [`/proc/${process.pid}/fd/${this.#target}`], {
        input: `${holes.join('\n')}\n`,
        deadlineMs: punchDeadlineMs,
      });
    } catch {
      // Zeros that are written read the same as holes; they only take space.
      for (const hole of holes) {
        const [, offset = 0, bytes = 0] = hole.split(' ').map(Number);
        for (let at = 0; at < bytes; at += batchBytes)
          this.#writeOut(offset + at, zeroes.subarray(0, Math.min(batchBytes, bytes - at)));
      }
    }
  }
}
