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
  readonly #flow: { pause(): void; resume(): void };

  constructor(flow: { pause(): void; resume(): void }) {
    this.#flow = flow;
  }

  /** Whether the socket should be paused now; asked again after a reconnect. */
  get paused(): boolean {
    return this.#paused;
  }

  push(chunk: Chunk): void {
    if (this.#ended || chunk.bytes.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.bytes.length;
    if (!this.#paused && this.#bytes > highWaterBytes) {
      this.#paused = true;
      this.#flow.pause();
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
  }

  /** One reader at a time; leaving the loop keeps the rest for the next. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.bytes.length;
        if (this.#paused && this.#bytes < lowWaterBytes) {
          this.#paused = false;
          this.#flow.resume();
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
