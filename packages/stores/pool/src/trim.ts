import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { OpenPool } from './mount.ts';

const run = promisify(execFile);
/** Often enough that the host gets its space back soon, seldom enough to cost nothing. */
const intervalMs = 10 * 60_000;
/** Trimming a pool of hundreds of GiB for the first time takes minutes; it waits for no one and no one for it. */
const timeoutMs = 60 * 60_000;

/**
 * Gives the freed blocks of a pool file back to the host now and then. Mounting with `discard` would do so at each deletion, and that held up what came next:
 * with it a wake took up to 1.6 s after the sleep before had removed a RAM file, without it 1.0 s, and a suspend 600 instead of 250 ms.
 * Nothing to do for a pool that is a directory: its file system is the host's own affair.
 */
export class Trimmer implements AsyncDisposable {
  readonly #ended = new AbortController();
  readonly #work: Promise<void>;

  constructor(
    pool: Pick<OpenPool, 'root' | 'kind'>,
    options: { onFailure: (error: unknown) => void; everyMs?: number },
  ) {
    this.#work = pool.kind === 'loop' ? this.#trim(pool.root, { everyMs: intervalMs, ...options }) : Promise.resolve();
  }

  /** Resolves when nothing of it uses the pool any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#work;
  }

  async #trim(root: string, options: { onFailure: (error: unknown) => void; everyMs: number }): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await sleep(options.everyMs, undefined, { signal, ref: false });
        await trim(root, signal);
      } catch (error) {
        if (!signal.aborted) options.onFailure(error);
      }
    }
  }
}

/** Resolves and rejects only when the program is gone: until then the pool cannot be unmounted. */
async function trim(root: string, signal: AbortSignal): Promise<void> {
  const trimming = run('fstrim', [root], { timeout: timeoutMs, signal });
  const gone = new Promise<void>((resolve) => trimming.child.once('close', () => resolve()));
  try {
    await trimming;
  } finally {
    await gone;
  }
}
