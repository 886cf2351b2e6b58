import type { Network } from './cidr.ts';
import { parentsOf } from './names.ts';

/**
 * Zones that mean something else on every network. A question about them would show a sprite the host's own world, or its questions to the host's name servers.
 * From the IANA registry of special-use domain names, without those that are for tests and documentation, and what RFC 6762 appendix G and ICANN's list of name collisions add.
 */
const localZones = new Set([
  'local',
  'localhost',
  'localdomain',
  'internal',
  'intranet',
  'private',
  'corp',
  'home',
  'lan',
  'home.arpa',
  'invalid',
  'onion',
  'alt',
]);

/** Whether a name belongs to local networks: it has one label only (`below`: it is the suffix of others, so it may), or lies in such a zone. */
export function isLocalName(name: string, below = false): boolean {
  if (!below && name !== '' && !name.includes('.')) return true;
  if (localZones.has(name)) return true;
  for (const parent of parentsOf(name)) if (localZones.has(parent)) return true;
  return false;
}

/** The network a reverse name is about, with as many bits as it has labels; undefined where it is no reverse name. */
export function networkOfReverseName(name: string): Network | undefined {
  return reverse(name, '.in-addr.arpa', 4) ?? reverse(name, '.ip6.arpa', 6);
}

function reverse(name: string, zone: string, family: 4 | 6): Network | undefined {
  if (!name.endsWith(zone)) return undefined;
  const [width, digitBits, digit, radix] =
    family === 4 ? ([32, 8, /^(0|[1-9]\d{0,2})$/, 10] as const) : ([128, 4, /^[0-9a-f]$/, 16] as const);
  const digits = name.slice(0, -zone.length).split('.').toReversed();
  let bits = 0;
  let base = 0n;
  for (const text of digits) {
    const value = digit.test(text) ? Number.parseInt(text, radix) : Number.NaN;
    // Names below a reverse zone that are no address (RFC 2317) belong to the network so far.
    if (!(value < 1 << digitBits) || bits === width) break;
    base = (base << BigInt(digitBits)) | BigInt(value);
    bits += digitBits;
  }
  return { family, base: base << BigInt(width - bits), bits };
}
