import type { ProcessStream } from '@sylph/engine';

/** Journalled output that is acknowledged at once; less waits for more, for {@link ackDelayMs} at most. The guest blocks its process at 1 MiB. */
const ackEveryBytes = 256 * 1024;
const ackDelayMs = 5;

/** Tells the guest what it may forget: in batches while output flows, and always before a quiet period. */
export class Acks {
  readonly #stream: ProcessStream;
  #acked: number;
  #written: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: ProcessStream, from: number) {
    this.#stream = stream;
    this.#acked = from;
    this.#written = from;
  }

  /** The journal holds output up to `offset`. */
  written(offset: number): void {
    this.#written = offset;
    if (offset - this.#acked >= ackEveryBytes) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), ackDelayMs);
  }

  /** Sends no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #send(): void {
    this.stop();
    if (this.#written === this.#acked) return;
    this.#acked = this.#written;
    this.#stream.ack(this.#acked);
  }
}
