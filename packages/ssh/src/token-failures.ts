import { clientNetwork } from '@sylph/model';

/** Wrong tokens are counted in windows of so long, ms. */
const windowMs = 60_000;
/** Addresses counted at once; beyond it the oldest are forgotten. */
const maxAddresses = 10_000;

/** Wrong tokens of each client's network in the last minute. Kept in memory. */
export class TokenFailures {
  readonly #perMinute: number;
  readonly #addresses = new Map<string, { since: number; count: number }>();

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  add(address: string): void {
    const network = clientNetwork(address);
    const now = performance.now();
    const found = this.#addresses.get(network);
    if (found !== undefined && now - found.since < windowMs) {
      found.count += 1;
      return;
    }
    this.#addresses.delete(network);
    this.#addresses.set(network, { since: now, count: 1 });
    const [oldest] = this.#addresses.keys();
    if (this.#addresses.size > maxAddresses && oldest !== undefined) this.#addresses.delete(oldest);
  }

  /** No token of this address is looked at for now. */
  tooMany(address: string): boolean {
    const found = this.#addresses.get(clientNetwork(address));
    return found !== undefined && performance.now() - found.since < windowMs && found.count >= this.#perMinute;
  }
}
