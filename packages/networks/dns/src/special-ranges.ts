import { specialNetworks } from '@sylph/model';
import { isWithin, parseNetwork, type Network } from './cidr.ts';

const special = [...specialNetworks.ipv4, ...specialNetworks.ipv6].map(parseNetwork);

/** Networks that are nobody's on the internet, but for those an operator opens to sprites (`network-allow`). */
export class SpecialRanges {
  readonly #allowed: readonly Network[];

  /** Throws `RangeError` on what is no network. */
  constructor(allowed: readonly string[] = []) {
    this.#allowed = allowed.map(parseNetwork);
  }

  /** Whether an operator has opened any. */
  get hasExceptions(): boolean {
    return this.#allowed.length > 0;
  }

  /** Whether an address lies in a network an operator has opened. */
  opens(address: string): boolean {
    const network = parseNetwork(address);
    return this.#allowed.some((range) => isWithin(network, range));
  }

  /** Whether all of an address or network is out of reach for sprites, whatever their policy. */
  blocks(text: string): boolean {
    return this.blocksNetwork(parseNetwork(text));
  }

  /** The same of a network that is parsed already. One an opened network lies in is not out of reach as a whole. */
  blocksNetwork(network: Network): boolean {
    return (
      special.some((range) => isWithin(network, range)) &&
      !this.#allowed.some((range) => isWithin(network, range) || isWithin(range, network))
    );
  }
}
