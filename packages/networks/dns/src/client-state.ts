import { AnswerCache } from './cache.ts';

/** Questions in a second, in the long run and at once. */
const perSecond = 100;
const burst = 200;
/** Questions of one sprite being answered. */
const maxOutstanding = 64;
/** Connections of one sprite. */
const maxConnections = 8;
/** A sprite that asks too much is told of so often. */
const tellMs = 1_000;

/** What the forwarder knows about one sprite for as long as it has its slot. */
export class ClientState {
  readonly cache = new AnswerCache();
  #tokens = burst;
  #filledAt = performance.now();
  #outstanding = 0;
  #connections = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** Counts a question in; false: it is one too many, in this second or at once. Each taken has to be given back by {@link settle}. */
  take(now = performance.now()): boolean {
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1_000) * perSecond);
    this.#filledAt = now;
    if (this.#tokens < 1 || this.#outstanding >= maxOutstanding) return false;
    this.#tokens -= 1;
    this.#outstanding += 1;
    return true;
  }

  settle(): void {
    this.#outstanding -= 1;
  }

  /** Whether a refusal for its rate is to be told now. */
  tellsRate(now = performance.now()): boolean {
    if (now - this.#toldAt < tellMs) return false;
    this.#toldAt = now;
    return true;
  }

  /** Counts a connection in; false: one too many. */
  connect(): boolean {
    if (this.#connections >= maxConnections) return false;
    this.#connections += 1;
    return true;
  }

  disconnect(): void {
    this.#connections -= 1;
  }
}
