import { deferred, type Deferred } from '../deferred.ts';
import type { OutputChunk } from './frames.ts';

/** Bytes that may wait for the reader before the socket is paused, and where it goes on. */
const highWaterBytes = 2 ** 20;
const lowWaterBytes = 2 ** 18;

/** Output on its way to one reader. Beyond 1 MiB it calls `pause`, below 256 KiB again `resume`. The reader sees all chunks, then the end or the error. */
export class OutputQueue<Chunk extends { bytes: Uint8Array } = OutputChunk> implements AsyncIterable<Chunk> {
  #chunks: Chunk[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #flow: Deferred<void> | undefined;
  readonly #source: { pause(): void; resume(): void };

  constructor(source: { pause(): void; resume(): void }) {
    this.#source = source;
  }

  /** Whether the socket should be paused now; asked again after a reconnect. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Resolves when it is not paused, or with the end; rejects with the signal's reason. */
  async flowing(signal: AbortSignal): Promise<void> {
    if (!this.#paused || this.#ended) return;
    const flow = (this.#flow ??= deferred());
    const abort = (): void => flow.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      await flow.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  push(chunk: Chunk): void {
    if (this.#ended || chunk.bytes.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.bytes.length;
    if (!this.#paused && this.#bytes > highWaterBytes) {
      this.#paused = true;
      this.#source.pause();
    }
    this.#wake?.();
  }

  /** No more output. With an error the reader gets it after the last chunk. The first call counts. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error =
      error === undefined || error instanceof Error ? error : new Error('the session was aborted', { cause: error });
    this.#wake?.();
    this.#flow?.resolve();
  }

  /** One reader at a time; leaving the loop keeps the rest for the next. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.bytes.length;
        if (this.#paused && this.#bytes < lowWaterBytes) {
          this.#paused = false;
          this.#source.resume();
          this.#flow?.resolve();
          this.#flow = undefined;
        }
        yield chunk;
      } else if (this.#ended) {
        if (this.#error !== undefined) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}
