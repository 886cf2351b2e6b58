/** Names of the edge's own cookies begin so; no guest gets or sets one. `__Host-` keeps other hosts of the domain from setting them. */
const ownName = /^(__Host-)?sylph-edge(-login)?$/;
/** In a header without this there is none of them. */
const ownMark = 'sylph-edge';

/** A cookie of the edge: who may enter, or, while a token is asked for, which browser asked. */
export type OwnCookie = 'sylph-edge' | 'sylph-edge-login';

/** Values of an own cookie in a Cookie header: a browser may carry several, set by strangers. At most 4. */
export function ownCookies(header: string | undefined, name: OwnCookie, secure: boolean): string[] {
  if (header === undefined || !header.includes(ownMark)) return [];
  const wanted = cookieName(name, secure);
  return pairsOf(header)
    .filter(([found]) => found === wanted)
    .map(([, value]) => value)
    .slice(0, 4);
}

/** A Cookie header without own cookies; undefined: nothing is left. */
export function withoutOwnCookies(header: string): string | undefined {
  if (!header.includes(ownMark)) return header;
  const kept = header
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !isOwn(part));
  return kept.length === 0 ? undefined : kept.join('; ');
}

/** Whether a Set-Cookie header of a guest would set an own cookie. */
export function setsOwnCookie(header: string): boolean {
  return header.includes(ownMark) && isOwn(header.split(';', 1)[0] as string);
}

/** A Set-Cookie header: for this host alone, hidden from scripts, not sent along by other sites' forms. `maxAgeS` 0 removes it. */
export function setCookie(
  name: OwnCookie,
  value: string,
  { secure, maxAgeS }: { secure: boolean; maxAgeS: number },
): string {
  const attributes = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAgeS}`;
  return `${cookieName(name, secure)}=${value}; ${attributes}${secure ? '; Secure' : ''}`;
}

function cookieName(name: OwnCookie, secure: boolean): string {
  return secure ? `__Host-${name}` : name;
}

/** A pair without a name is sent as its value alone, which could look like a pair. */
function isOwn(pair: string): boolean {
  const text = pair.trim().replace(/^=\s*/, '');
  return ownName.test((text.split('=', 1)[0] as string).trim());
}

function pairsOf(header: string): [string, string][] {
  return header.split(';').map((part) => {
    const at = part.indexOf('=');
    return at < 0 ? [part.trim(), ''] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  });
}
