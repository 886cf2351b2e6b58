import type { Proof } from './proof-watch.ts';

/** Between two looks at what is under way. Shorter than the shortest idle time of a sprite. */
const lookMs = 250;

/** What one request, or one open connection, has under way. */
export interface Exchange {
  /** Something flowed: its sprite is in use. */
  used: () => void;
  /** The guest works on the request: there is nothing that could flow. */
  awaitsAnswer: boolean;
  /** What its client was let in by. */
  readonly proof: Proof;
  /** Breaks it off. */
  giveUp: () => void;
}

/** Watches all exchanges with one timer: keeps sprites awake whose guests work. */
export class Exchanges implements Disposable {
  readonly #all = new Set<Exchange>();
  #timer: NodeJS.Timeout | undefined;

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): Iterator<Exchange> {
    return this.#all.values();
  }

  add(exchange: Exchange): Disposable {
    this.#all.add(exchange);
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
    return { [Symbol.dispose]: () => void this.#all.delete(exchange) };
  }

  /** Breaks off all, and watches no more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const exchange of [...this.#all]) exchange.giveUp();
  }

  #look(): void {
    for (const exchange of this.#all) if (exchange.awaitsAnswer) exchange.used();
  }
}
