import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { customDomain, spriteName } from '@sylph/model';

/** Label below the domain where tokens are asked for. No sprite's label has no dash, so none is called so. */
export const loginLabel = 'login';

/** What a Host header names. */
export type Place =
  | {
      kind: 'sprite';
      name: string;
      /** Of the organization. */
      urlSuffix: string;
      /** Null: where the sprite's URL leads. */
      port: number | null;
    }
  | { kind: 'domain'; domain: string }
  | { kind: 'login' }
  /** An address, the bare domain, a name no sprite can have: nothing is there. */
  | { kind: 'nothing' };

/** A Host header that fits the grammar. */
export interface Authority {
  /** Lower case, without a trailing dot; an IPv6 address in brackets. */
  hostname: string;
  /** Null: none is named. */
  port: number | null;
}

/** Longest name of the internet. */
const maxNameLength = 253;
const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** `[<port>--]<name>-<suffix>`. Of a sprite whose name itself begins like a port, the port comes first: `0` is where its URL leads. */
const spriteLabel = /^(?:(0|[1-9][0-9]{0,4})--)?(.+)-([a-z0-9]+)$/;

/** Reads a Host header or `:authority`: `name`, `name:port`, `1.2.3.4:port`, `[v6]:port`. Undefined: it fits no grammar. */
export function parseAuthority(text: string): Authority | undefined {
  if (text.length > maxNameLength + 8) return undefined;
  const [, bracketed, plain = '', portText] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]@/?#\\]+))(?::([0-9]{0,5}))?$/.exec(text) ?? [];
  if (bracketed === undefined && plain === '') return undefined;
  const port = portText === undefined || portText === '' ? null : Number(portText);
  if (port !== null && (port < 1 || port > 65_535)) return undefined;
  if (bracketed !== undefined)
    return isIP(bracketed) === 6 ? { hostname: `[${bracketed.toLowerCase()}]`, port } : undefined;
  if (isIP(plain) === 4) return { hostname: plain, port };
  const hostname = asciiName(plain.endsWith('.') ? plain.slice(0, -1) : plain);
  return hostname === undefined ? undefined : { hostname, port };
}

/** What a host name stands for on an edge of this domain (lower case). */
export function placeOf(hostname: string, domain: string): Place {
  if (!hostname.endsWith(`.${domain}`)) {
    return customDomain.safeParse(hostname).success && hostname !== domain
      ? { kind: 'domain', domain: hostname }
      : { kind: 'nothing' };
  }
  const below = hostname.slice(0, -domain.length - 1);
  if (below === loginLabel) return { kind: 'login' };
  return spritePlace(below) ?? { kind: 'nothing' };
}

/** The label of a sprite, or of one of its ports. */
export function labelOf(name: string, urlSuffix: string, port: number | null): string {
  const plain = `${name}-${urlSuffix}`;
  if (port !== null) return `${port}--${plain}`;
  return /^[0-9]{1,5}--/.test(name) ? `0--${plain}` : plain;
}

function spritePlace(below: string): Place | undefined {
  const [, portText, name = '', urlSuffix = ''] = spriteLabel.exec(below) ?? [];
  const port = portText === undefined || portText === '0' ? null : Number(portText);
  if ((port !== null && port > 65_535) || !spriteName.safeParse(name).success) return undefined;
  return { kind: 'sprite', name, urlSuffix, port };
}

/** A name in lower case; names of other scripts in the form DNS knows. */
function asciiName(name: string): string | undefined {
  // Clients send names of other scripts as bytes of UTF-8, which Node reads one by one.
  const hasBytes = /[^\0-\x7F]/.test(name);
  const ascii = hasBytes ? domainToASCII(Buffer.from(name, 'latin1').toString('utf8')) : name.toLowerCase();
  if (ascii === '' || ascii.length > maxNameLength || isIP(ascii) !== 0) return undefined;
  return ascii.split('.').every((part) => label.test(part)) ? ascii : undefined;
}
