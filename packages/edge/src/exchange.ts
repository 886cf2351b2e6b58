import type { Readable, Writable } from 'node:stream';

/** Between two looks at what is under way. Shorter than the shortest idle time of a sprite. */
const lookMs = 250;

/** What one request, or one open connection, has under way. */
export interface Exchange {
  /** Something flowed: its sprite is in use. */
  used: () => void;
  /** The guest works on the request: there is nothing that could flow. */
  awaitsAnswer: boolean;
  /** The client may have something to send. */
  reads: Readable | undefined;
  /** The client may have something to take. */
  writes: Writable | undefined;
  /** When the client sent or took something last. */
  clientMovedAt: number;
  /** The client is given up. */
  giveUp: () => void;
}

/** Watches all exchanges with one timer: keeps sprites awake whose guests work, and gives up clients that stall. */
export class Exchanges implements Disposable {
  readonly #stallTimeoutMs: number;
  readonly #all = new Set<Exchange>();
  #timer: NodeJS.Timeout | undefined;

  constructor(stallTimeoutMs: number) {
    this.#stallTimeoutMs = stallTimeoutMs;
  }

  get size(): number {
    return this.#all.size;
  }

  add(exchange: Exchange): Disposable {
    this.#all.add(exchange);
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
    return { [Symbol.dispose]: () => void this.#all.delete(exchange) };
  }

  /** Gives up every client, and watches no more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const exchange of [...this.#all]) exchange.giveUp();
  }

  #look(): void {
    const now = performance.now();
    for (const exchange of [...this.#all]) {
      if (exchange.awaitsAnswer) exchange.used();
      const { reads, writes } = exchange;
      const owes =
        (reads !== undefined && !reads.readableEnded && !reads.isPaused()) || (writes?.writableLength ?? 0) > 0;
      if (!owes) exchange.clientMovedAt = now;
      else if (now - exchange.clientMovedAt > this.#stallTimeoutMs) exchange.giveUp();
    }
  }
}
