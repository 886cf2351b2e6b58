// Reads a probe's counter and clock some thousand times a second and keeps the longest standstill. One thread, blocking between looks.
import fs from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

/** Words shared with the other thread. */
export const control = { command: 0, state: 1, words: 2 } as const;

/** What the other thread asks for: looks before, during and after the work. */
export const phase = { idle: 0, before: 1, during: 2, after: 3 } as const;

/** Results, milliseconds: the longest stall during the work, and how far the guest's clock was behind the host's at least, before and after it. */
export const result = { stall: 0, behindBefore: 1, behindAfter: 2, words: 3 } as const;

/** Where the results begin in the shared buffer. */
export const resultsAt = 32;

/** What to watch: the probe's page, see probe/main.go. */
export interface WatchTask {
  /** {@link control} words, from {@link resultsAt} the {@link result} words. */
  buffer: SharedArrayBuffer;
  pid: number;
  address: bigint;
}

const lookEveryMs = 0.1;
const idleLookMs = 20;

function watch({ buffer, pid, address }: WatchTask): void {
  const shared = new Int32Array(buffer, 0, control.words);
  const results = new Float64Array(buffer, resultsAt, result.words);
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  const bytes = Buffer.alloc(16);
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, 2);
  let movedAtMs = performance.now();
  let counter = 0n;
  for (;;) {
    const command = Atomics.load(shared, control.command);
    if (command !== Atomics.load(shared, control.state)) {
      if (command === phase.before) results.set([0, Infinity, Infinity]);
      movedAtMs = performance.now();
      Atomics.store(shared, control.state, command);
      Atomics.notify(shared, control.state);
    }
    Atomics.wait(shared, control.command, command, command === phase.idle ? idleLookMs : lookEveryMs);
    if (command === phase.idle) continue;
    fs.readSync(memory, bytes, 0, 16, address + 64n);
    const atMs = performance.now();
    if (words[0] === counter) continue;
    counter = words[0] as bigint;
    if (command === phase.during) results[result.stall] = Math.max(results[result.stall] as number, atMs - movedAtMs);
    movedAtMs = atMs;
    // What a look finds may be old, when either side had to wait for a CPU: the least difference is the true one.
    const slot =
      command === phase.before ? result.behindBefore : command === phase.after ? result.behindAfter : undefined;
    if (slot !== undefined) results[slot] = Math.min(results[slot] as number, atMs - Number(words[1]) / 1e6);
  }
}

if (!isMainThread) watch(workerData as WatchTask);
