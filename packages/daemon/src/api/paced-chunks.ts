import type { ServerResponse } from 'node:http';
import { streamByte } from '@sylph/model';

/** Longest chunk, stream byte included. */
const maxChunkBytes = 16 * 1024;
/**
 * Shortest time between two chunks, and in front of the exit. Existing clients take one read of the body for one frame, and reads merge what arrives together: measured there, 5 ms are always enough
 * between data, and 10 ms before the exit.
 */
const gapMs = 6;
const exitGapMs = 12;
/** Output that waits for its chunk; beyond that the session is held back. */
const maxWaitingBytes = 256 * 1024;
/** After so long without output an empty stdout frame goes out: clients give a body up after five minutes of silence. */
const silenceMs = 60_000;

/**
 * Writes frames as chunks of an HTTP answer, one a chunk and never two together. What comes in faster than the pace is joined, streams kept apart and in order.
 */
export class PacedChunks {
  readonly #response: ServerResponse;
  /** In order; neighbours are of different streams or full. */
  #waiting: { stream: number; parts: Buffer[]; sizeBytes: number }[] = [];
  #waitingBytes = 0;
  #writtenAt = 0;
  /** The loop that writes what waits; undefined while nothing does. */
  #writing: Promise<void> | undefined;
  readonly #silence: NodeJS.Timeout;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.#silence = setInterval(() => void this.write(streamByte.stdout, Buffer.alloc(0)), silenceMs);
    response.once('close', () => clearInterval(this.#silence));
  }

  /** Takes output; resolves when more may come. Empty output makes an empty frame. */
  async write(stream: number, bytes: Buffer): Promise<void> {
    this.#silence.refresh();
    const room = maxChunkBytes - 1;
    for (let at = 0; at === 0 || at < bytes.length; at += room) this.#add(stream, bytes.subarray(at, at + room));
    this.#writing ??= this.#writeWaiting();
    if (this.#waitingBytes > maxWaitingBytes) await this.#writing;
  }

  /** Writes what waits and then the exit, if there is one. */
  async finish(exitCode: number | undefined): Promise<void> {
    clearInterval(this.#silence);
    await this.#writing;
    if (exitCode === undefined) return;
    await this.#wait(exitGapMs);
    await this.#send(Buffer.from([streamByte.exit, exitCode]));
  }

  #add(stream: number, bytes: Buffer): void {
    this.#waitingBytes += bytes.length;
    const last = this.#waiting.at(-1);
    if (last === undefined || last.stream !== stream || last.sizeBytes + bytes.length > maxChunkBytes - 1) {
      this.#waiting.push({ stream, parts: [bytes], sizeBytes: bytes.length });
    } else {
      last.parts.push(bytes);
      last.sizeBytes += bytes.length;
    }
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#response.destroyed) {
      await this.#wait(gapMs);
      const { stream, parts, sizeBytes } = this.#waiting.shift() as {
        stream: number;
        parts: Buffer[];
        sizeBytes: number;
      };
      this.#waitingBytes -= sizeBytes;
      await this.#send(Buffer.concat([Buffer.from([stream]), ...parts]));
    }
    this.#writing = undefined;
  }

  /** Writes one chunk; resolves when the system has it, or the client is gone. */
  async #send(chunk: Buffer): Promise<void> {
    if (this.#response.destroyed) return;
    const handed = Promise.withResolvers<void>();
    this.#response.once('close', handed.resolve);
    this.#response.write(chunk, () => handed.resolve());
    await handed.promise;
    this.#response.off('close', handed.resolve);
    this.#writtenAt = performance.now();
  }

  /** Resolves a while after the last chunk. Timers may fire early by a fraction. */
  async #wait(ms: number): Promise<void> {
    for (;;) {
      const leftMs = this.#writtenAt + ms - performance.now();
      if (leftMs <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(leftMs)));
    }
  }
}
