import { isIP } from 'node:net';

/** A network, its base masked. */
export interface Network {
  family: 4 | 6;
  base: bigint;
  bits: number;
}

/** A network or an address (as the network of itself). Throws `RangeError` on anything else. */
export function parseNetwork(text: string): Network {
  const [address = '', prefix] = text.split('/');
  const family = isIP(address);
  if (family !== 4 && family !== 6) throw new RangeError(`${text} is no address and no network`);
  const width = widthOf(family);
  const bits = prefix === undefined ? width : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > width) throw new RangeError(`${text} is no network`);
  const rest = BigInt(width - bits);
  return { family, base: (numberOf(address, family) >> rest) << rest, bits };
}

/** The same; undefined for anything else. */
export function networkFrom(text: string): Network | undefined {
  try {
    return parseNetwork(text);
  } catch {
    // It is none.
    return undefined;
  }
}

/** The same network as text, for `nft` and people. */
export function networkText({ family, base, bits }: Network): string {
  return `${addressText(base, family)}/${bits}`;
}

/** Whether all of `inner` lies in `outer`. */
export function isWithin(inner: Network, outer: Network): boolean {
  const rest = BigInt(widthOf(outer.family) - outer.bits);
  return inner.family === outer.family && inner.bits >= outer.bits && inner.base >> rest === outer.base >> rest;
}

/** Bits of an address. */
export function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function numberOf(address: string, family: 4 | 6): bigint {
  return family === 4 ? ipv4Number(address) : ipv6Number(address);
}

function ipv4Number(address: string): bigint {
  return address.split('.').reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function ipv6Number(address: string): bigint {
  const [plain = ''] = address.split('%');
  const [head = [], tail] = plain.split('::').map(groupsOf);
  const groups =
    tail === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

/** Groups of one half of an IPv6 address; an IPv4 address at its end is two of them. */
function groupsOf(half: string): string[] {
  if (half === '') return [];
  return half.split(':').flatMap((group) => {
    if (!group.includes('.')) return [group];
    const value = ipv4Number(group);
    return [(value >> 16n).toString(16), (value & 0xffffn).toString(16)];
  });
}

/** An address in its shortest form. */
export function addressText(value: bigint, family: 4 | 6): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  // The URL parser writes an address in its shortest form.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
