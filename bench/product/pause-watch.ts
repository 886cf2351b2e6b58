import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import fs from 'node:fs';
import { sleep } from '../bench.ts';
import { pageBytes } from '../floor/files.ts';
import { changedRuns, findRam, readPages } from '../floor/memory.ts';
import { control, phase, result, resultsAt, type WatchTask } from './pause-worker.ts';

const searchPages = 1024;
const answerDeadlineMs = 30_000;
/** How long the clocks of guest and host are compared before and after. */
const compareMs = 300;

/** How long a process in the guest stood still. */
export interface Stall {
  /** Longest time its counter did not move: a pause of the VM, or its virtual CPU waiting for the host's. */
  stallMs: number;
  /** How far the guest's clock fell behind the host's: the VM was paused for so long. */
  frozenMs: number;
}

/** Token of a probe: 64 hex digits. */
export function probeToken(): string {
  return randomBytes(32).toString('hex');
}

/**
 * Watches the counter of a probe in a VM's memory, from the hypervisor's address space: the guest's own clock stands still while the VM does. The page is found by the probe's token.
 */
export class PauseWatch implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #shared: Int32Array;
  readonly #results: Float64Array;

  constructor(pid: number, ramMib: number, token: string) {
    const buffer = new SharedArrayBuffer(resultsAt + 8 * result.words);
    this.#shared = new Int32Array(buffer, 0, control.words);
    this.#results = new Float64Array(buffer, resultsAt, result.words);
    const task: WatchTask = { buffer, pid, address: probeAddress(pid, ramMib, token) };
    this.#worker = new Worker(new URL('./pause-worker.ts', import.meta.url), { workerData: task });
  }

  /** What the guest suffered while something was done. Takes half a second more than that. */
  async during(work: () => Promise<unknown>): Promise<Stall> {
    await this.#enter(phase.before);
    await sleep(compareMs);
    await this.#enter(phase.during);
    await work();
    await this.#enter(phase.after);
    await sleep(compareMs);
    await this.#enter(phase.idle);
    const { stall, behindBefore, behindAfter } = result;
    return {
      stallMs: this.#results[stall] as number,
      frozenMs: (this.#results[behindAfter] as number) - (this.#results[behindBefore] as number),
    };
  }

  async #enter(command: number): Promise<void> {
    const before = Atomics.load(this.#shared, control.state);
    Atomics.store(this.#shared, control.command, command);
    Atomics.notify(this.#shared, control.command);
    const answer = Atomics.waitAsync(this.#shared, control.state, before, answerDeadlineMs);
    if (answer.async && (await answer.value) === 'timed-out') throw new Error('the watching thread does not answer');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Address of the probe's page in the hypervisor. A page the guest freed may still hold the token; the counter of the right one moves. */
function probeAddress(pid: number, ramMib: number, token: string): bigint {
  const ram = findRam(pid, ramMib * 2 ** 20);
  const wanted = Buffer.from(token, 'hex');
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.allocUnsafe(searchPages * pageBytes);
  const found: bigint[] = [];
  try {
    for (const { first, count } of changedRuns(ram, searchPages)) {
      readPages(memory, ram, buffer, first, count);
      for (let page = 0; page < count; page++) {
        if (buffer.compare(wanted, 0, wanted.length, page * pageBytes, page * pageBytes + wanted.length) === 0)
          found.push(ram.start + BigInt((first + page) * pageBytes));
      }
    }
    const before = found.map((address) => counterAt(memory, address));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    const moving = found.find((address, index) => counterAt(memory, address) !== before[index]);
    if (moving === undefined) throw new Error(`no probe counts in the memory of process ${pid}`);
    return moving;
  } finally {
    fs.closeSync(memory);
  }
}

function counterAt(memory: number, address: bigint): bigint {
  const word = Buffer.alloc(8);
  fs.readSync(memory, word, 0, 8, address + 64n);
  return word.readBigUInt64LE();
}
