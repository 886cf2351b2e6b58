import { lookup, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import os from 'node:os';
import { specialNetworks } from '@sylph/model';

/** A list for each family: Node looks for an IPv4 address among IPv6 networks too, as one that is mapped. */
const special = { ipv4: new BlockList(), ipv6: new BlockList() };
for (const family of ['ipv4', 'ipv6'] as const)
  for (const network of specialNetworks[family]) {
    const [address, bits] = network.split('/') as [string, string];
    special[family].addSubnet(address, Number(bits), family);
  }

/** Whether an address is on the internet and not this host's own, as its interfaces are now. What leads to this host from outside by translation cannot be told from here. */
export function isPublicAddress(address: string): boolean {
  const family = ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
  return family !== undefined && !special[family].check(address, family) && !ownAddresses().check(address, family);
}

/** Addresses of this host. Special ones are left out: they are refused anyway, and some carry a zone. */
function ownAddresses(): BlockList {
  const own = new BlockList();
  for (const { address, family } of Object.values(os.networkInterfaces()).flatMap((all) => all ?? [])) {
    const kind = family === 'IPv4' ? 'ipv4' : 'ipv6';
    if (!special[kind].check(address, kind)) own.addAddress(address, kind);
  }
  return own;
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
