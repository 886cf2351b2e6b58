// Reads a probe's counter and clock some thousand times a second and keeps the longest standstill. One thread, blocking between looks.
import fs from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

/** Words shared with the other thread, and what they may hold. */
export const control = { command: 0, state: 1, words: 2, idle: 0, measure: 1 } as const;

/** What to watch: the probe's page, see probe/main.go. */
export interface WatchTask {
  /** {@link control} words; from byte 32 the results: longest stall, longest freeze, milliseconds. */
  buffer: SharedArrayBuffer;
  pid: number;
  address: bigint;
}

const lookEveryMs = 0.1;
const idleLookMs = 20;

function watch({ buffer, pid, address }: WatchTask): void {
  const shared = new Int32Array(buffer, 0, control.words);
  const results = new Float64Array(buffer, 32, 2);
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  const bytes = Buffer.alloc(16);
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, 2);
  const look = (): { atMs: number; counter: bigint; clockMs: number } => {
    fs.readSync(memory, bytes, 0, 16, address + 64n);
    return { atMs: performance.now(), counter: words[0] as bigint, clockMs: Number(words[1]) / 1e6 };
  };
  for (;;) {
    Atomics.wait(shared, control.command, control.idle, idleLookMs);
    if (Atomics.load(shared, control.command) !== control.measure) continue;
    results.fill(0);
    let moved = look();
    Atomics.store(shared, control.state, control.measure);
    Atomics.notify(shared, control.state);
    while (Atomics.load(shared, control.command) === control.measure) {
      const now = look();
      if (now.counter !== moved.counter) {
        const stallMs = now.atMs - moved.atMs;
        results[0] = Math.max(results[0] as number, stallMs);
        results[1] = Math.max(results[1] as number, stallMs - (now.clockMs - moved.clockMs));
        moved = now;
      }
      Atomics.wait(shared, control.command, control.measure, lookEveryMs);
    }
    Atomics.store(shared, control.state, control.idle);
    Atomics.notify(shared, control.state);
  }
}

if (!isMainThread) watch(workerData as WatchTask);
