import { lookup, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/**
 * What a user must not reach through the daemon: the host itself, its private networks and cloud metadata (IANA special-purpose registries). A list for each family: Node looks for an IPv4 address among IPv6
 * networks too, as one that is mapped.
 */
const internal = { ipv4: new BlockList(), ipv6: new BlockList() };
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  internal.ipv4.addSubnet(network, bits, 'ipv4');
// Only global unicast (2000::/3) is public, without the parts that carry IPv4 addresses or are for documentation.
for (const [network, bits] of [
  ['::', 3],
  ['2001::', 32],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['4000::', 2],
  ['8000::', 1],
] as const)
  internal.ipv6.addSubnet(network, bits, 'ipv6');

/** Whether an address is anybody's on the internet. */
export function isPublicAddress(address: string): boolean {
  const family = ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
  return family !== undefined && !internal[family].check(address, family);
}

/** The `lookup` of a connection that goes to public addresses only: what was checked is what is connected to. */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
    if (error) return callback(error, []);
    const open = found.filter(({ address }) => isPublicAddress(address));
    const [first] = open;
    if (first === undefined) return callback(new Error(`${hostname} is no public address`), []);
    if (options.all) callback(null, open);
    else callback(null, first.address, first.family);
  });
};
