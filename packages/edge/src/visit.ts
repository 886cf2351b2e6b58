import { clientOf, type Client, type ClientRequest } from './client.ts';
import { EdgeFailure } from './failure.ts';
import { parseAuthority, placeOf, type Authority, type Place } from './host.ts';

/** A request whose head makes sense. */
export interface Visit {
  request: ClientRequest;
  client: Client;
  /** As the client sent it. */
  host: string;
  authority: Authority;
  place: Place;
  /** Path with query, beginning with a slash; or `*`. */
  path: string;
}

/** Reads the head of a request. Throws `invalid_request` saying what makes no sense. */
export function visitOf(
  request: ClientRequest,
  { domain, trusts }: { domain: string; trusts: (address: string) => boolean },
): Visit {
  if (request.httpVersionMajor !== ('stream' in request ? 2 : 1))
    throw bad('the version of HTTP is not the one that is spoken');
  const host = hostOf(request);
  const authority = parseAuthority(host);
  if (authority === undefined) throw bad('the Host header is no name or address');
  const { path, authority: named } = pathOf(request);
  if (named !== undefined && named.toLowerCase() !== host.toLowerCase())
    throw bad('the request line and the Host header name different hosts');
  assertFraming(request);
  return {
    request,
    client: clientOf(request, trusts),
    host,
    authority,
    place: placeOf(authority.hostname, domain),
    path,
  };
}

/** The one Host header, or what HTTP/2 has in its place. */
function hostOf({ rawHeaders }: ClientRequest): string {
  const hosts: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts.push(rawHeaders[at + 1] as string);
    else if (name === ':authority') hosts.push(rawHeaders[at + 1] as string);
  }
  const [host, ...others] = hosts;
  if (host === undefined || host === '') throw bad('there is no Host header');
  if (rawHeaders.includes(':authority') ? others.some((other) => other !== host) : others.length > 0)
    throw bad('there is more than one Host header');
  return host;
}

function pathOf({ url = '', method }: ClientRequest): { path: string; authority?: string } {
  if (url.startsWith('/')) return { path: url };
  if (url === '*' && method === 'OPTIONS') return { path: url };
  const [, authority, path = ''] = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(url) ?? [];
  if (authority === undefined) throw bad('the target of the request is neither a path nor a URL');
  return { path: path.startsWith('/') ? path : `/${path}`, authority };
}

/** How long a body is must not be a matter of interpretation. Node refuses most of it; what it lets through is refused here. */
function assertFraming({ headers }: ClientRequest): void {
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') throw bad('a body is sent whole or chunked');
  if (encoding !== undefined && headers['content-length'] !== undefined)
    throw bad('the length of the body is given twice');
  const length = headers['content-length'];
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) throw bad('Content-Length is no number');
}

function bad(message: string): EdgeFailure {
  return new EdgeFailure('invalid_request', message, {
    hint: 'Send one Host header, such as name-suffix.sprites.localhost.',
  });
}
