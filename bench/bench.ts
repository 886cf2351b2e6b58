import type { SylphClient } from '@sylph/client';
import type { FloorMachine, FloorSnapshot } from './floor/index.ts';
import type { Row } from './report/row.ts';

/** What figures measure with. */
export interface Bench {
  client: SylphClient;
  daemonPid: number;
  /** Directory of the daemon's pool. */
  poolDir: string;
  floor: FloorMachine;
  /** Booted once, like the product's own; every bare VM starts from it. */
  genesis: FloorSnapshot;
  /** The program that watches from inside a guest. */
  probe: Buffer;
  quick: boolean;
  /** A name for a sprite or a bare VM, never given twice. */
  unique: (stem: string) => string;
  say: (text: string) => void;
  /** Halves of pairs that failed and were left out; told with the result. */
  lost: string[];
  /** The user wants an end: no further pair is begun. */
  signal: AbortSignal;
}

/** Figures that are measured together. */
export interface Figure {
  name: string;
  measure: (bench: Bench) => Promise<Row[]>;
}

/** How often to repeat. */
export interface Repetition {
  times: number;
  /** No further pair is begun after this. */
  limitMs: number;
}

/** Fewest pairs of any figure. */
const fewest = 2;
/** Failed halves a series may leave out: an overloaded host delays a VM beyond every deadline now and then. */
const mostLost = 2;

/**
 * Runs pairs, product and floor in turn, each first every other time: what the machine does meanwhile hits both alike. Returns how many ran.
 */
export async function pairs(
  bench: Bench,
  { times, limitMs }: Repetition,
  ours: (index: number) => Promise<void>,
  floor: (index: number) => Promise<void>,
): Promise<void> {
  const wanted = bench.quick ? Math.max(Math.ceil(times / 5), fewest) : times;
  const end = performance.now() + (bench.quick ? limitMs / 6 : limitMs);
  let lost = 0;
  for (let index = 0; index < wanted && (index < fewest || performance.now() < end); index++) {
    for (const half of index % 2 === 0 ? [ours, floor] : [floor, ours]) {
      bench.signal.throwIfAborted();
      try {
        await half(index);
      } catch (error) {
        if (++lost > mostLost) throw error;
        const what = `${half === ours ? 'product' : 'floor'}: ${error instanceof Error ? error.message : String(error)}`;
        bench.lost.push(what);
        bench.say(`  left out, ${what}`);
      }
    }
  }
}

/** Resolves after a time. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Milliseconds something took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
