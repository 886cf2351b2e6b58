import { setsOwnCookie, withoutOwnCookies } from './cookies.ts';

/** Names and values in turn, as `rawHeaders`. */
export type RawHeaders = string[];

/** About one connection, not about the message (RFC 9110, section 7.6.1); framing is made anew on each side. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** What only the edge says of a client, whatever the client says. */
const ownRequestHeaders = new Set([
  'sprite-client-ip',
  'x-forwarded-host',
  'x-forwarded-for',
  'x-forwarded-proto',
  'via',
]);

/** May not come after a body (RFC 9110, section 6.5.1): framing, routing, who somebody is. */
const notInTrailers = new Set([
  ...hopByHop,
  'content-length',
  'content-encoding',
  'content-type',
  'content-range',
  'host',
  'authorization',
  'cookie',
  'set-cookie',
  'trailer',
  'sprite-client-ip',
]);

/** What the edge knows of a request and tells the guest. */
export interface RequestFacts {
  /** As the client sent it. */
  host: string;
  clientAddress: string;
  /** A proxy in front has said already whom it speaks for. */
  proxied: boolean;
  scheme: 'http' | 'https';
  httpVersion: string;
  /** The client's token stood there, or one for the edge. */
  dropAuthorization: boolean;
  /** How the body is framed: its length, `chunked`, or that there is none. */
  body: string | undefined;
}

/** The head a guest gets. Everything about the message stays as it is, in its order; what is about connections, and the edge's own cookies, go. */
export function requestHeaders(raw: RawHeaders, facts: RequestFacts): RawHeaders {
  const out: RawHeaders = ['Host', facts.host];
  const named = connectionNames(raw);
  const seen: Record<string, string[]> = {};
  const cookies: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const value = raw[at + 1] as string;
    const lower = name.toLowerCase();
    if (lower === 'host' || lower === 'content-length' || lower.startsWith(':')) continue;
    if (hopByHop.has(lower) || named?.has(lower)) continue;
    if (ownRequestHeaders.has(lower)) (seen[lower] ??= []).push(value);
    else if (lower === 'cookie') cookies.push(value);
    else if (lower !== 'authorization' || !facts.dropAuthorization) out.push(name, value);
  }
  // HTTP/2 sends cookies one by one; HTTP/1.1 knows one header of them.
  const cookie = cookies.length === 0 ? undefined : withoutOwnCookies(cookies.join('; '));
  if (cookie !== undefined) out.push('Cookie', cookie);
  out.push('Sprite-Client-Ip', facts.clientAddress);
  const forwardedFor = [...(seen['x-forwarded-for'] ?? []), ...(facts.proxied ? [] : [facts.clientAddress])];
  out.push('X-Forwarded-For', forwardedFor.join(', '));
  out.push('X-Forwarded-Host', facts.host);
  out.push('X-Forwarded-Proto', (facts.proxied ? seen['x-forwarded-proto']?.join(', ') : undefined) ?? facts.scheme);
  out.push('Via', [...(seen['via'] ?? []), `${facts.httpVersion} sylph`].join(', '));
  if (facts.body === 'chunked') out.push('Transfer-Encoding', 'chunked');
  else if (facts.body !== undefined) out.push('Content-Length', facts.body);
  return out;
}

/** The head a client gets of a guest's answer. `hsts`: the connection is TLS of ours. */
export function answerHeaders(raw: RawHeaders, options: { hsts: string | undefined; httpVersion: string }): RawHeaders {
  const out: RawHeaders = [];
  const named = connectionNames(raw);
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const value = raw[at + 1] as string;
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || named?.has(lower)) continue;
    if (lower === 'set-cookie' && setsOwnCookie(value)) continue;
    if (lower === 'strict-transport-security' && options.hsts !== undefined) continue;
    out.push(name, value);
  }
  out.push('Via', `${options.httpVersion} sylph`);
  if (options.hsts !== undefined) out.push('Strict-Transport-Security', options.hsts);
  return out;
}

/** The head of an answer of HTTP/1.1 as text, for a bare connection. */
export function headText(status: number, reason: string, headers: RawHeaders): string {
  const lines: string[] = [];
  for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `HTTP/1.1 ${status} ${reason}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** What may follow a body. */
export function trailers(raw: RawHeaders): [string, string][] {
  const out: [string, string][] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    if (!notInTrailers.has(name.toLowerCase())) out.push([name, raw[at + 1] as string]);
  }
  return out;
}

/** Headers that Connection says are about the connection; it cannot take away what frames or routes a message. */
function connectionNames(raw: RawHeaders): Set<string> | undefined {
  let names: Set<string> | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    if ((raw[at] as string).toLowerCase() !== 'connection') continue;
    for (const part of (raw[at + 1] as string).split(',')) {
      const name = part.trim().toLowerCase();
      if (name !== '' && name !== 'close' && name !== 'keep-alive' && name !== 'upgrade')
        (names ??= new Set()).add(name);
    }
  }
  return names;
}
