import { clientNetwork } from '@sylph/model';

const windowMs = 60_000;
/** Addresses counted at once; beyond, the window begins anew for all: what is guessed at is 256 random bits or costs a slow hash. */
const maxAddresses = 10_000;

/** Counts wrong tokens and passwords of client addresses, by the minute. */
export class Attempts {
  readonly #most: number;
  readonly #wrong = new Map<string, number>();
  #windowEnds = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Seconds to wait, 0: it may try. */
  retryAfterS(address: string): number {
    this.#turn();
    const left = Math.ceil((this.#windowEnds - performance.now()) / 1000);
    return (this.#wrong.get(clientNetwork(address)) ?? 0) >= this.#most ? Math.max(left, 1) : 0;
  }

  wrong(address: string): void {
    this.#turn();
    const network = clientNetwork(address);
    if (this.#wrong.size >= maxAddresses) this.#wrong.clear();
    this.#wrong.set(network, (this.#wrong.get(network) ?? 0) + 1);
  }

  #turn(): void {
    const now = performance.now();
    if (now < this.#windowEnds) return;
    this.#windowEnds = now + windowMs;
    this.#wrong.clear();
  }
}
