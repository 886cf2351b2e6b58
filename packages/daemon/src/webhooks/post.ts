import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { isPublicAddress, lookupPublic } from './addresses.ts';

/** An attempt has to be over by then. */
const deadlineMs = 15_000;

/** A message on its way out. */
export interface Post {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/**
 * Sends a message once; redirects are not followed and the answer's body is not read. Rejects on anything but a 2xx, and on addresses that are not public unless `internalToo`.
 */
export async function post({ url, headers, body }: Post, { internalToo }: { internalToo: boolean }): Promise<void> {
  const target = new URL(url);
  const host = target.hostname.replace(/^\[|\]$/g, '');
  // An address is connected to without being looked up.
  if (!internalToo && isIP(host) !== 0 && !isPublicAddress(host)) throw new Error(`${host} is no public address`);
  const status = await send(target, { headers, body, internalToo });
  if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
}

function send(
  target: URL,
  { headers, body, internalToo }: { headers: Record<string, string>; body: string; internalToo: boolean },
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = (target.protocol === 'https:' ? https : http).request(target, {
    method: 'POST',
    // No connection is kept for later, which would be one that nobody checked for its next use.
    agent: false,
    headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    signal: AbortSignal.timeout(deadlineMs),
    ...(internalToo ? {} : { lookup: lookupPublic }),
  });
  request.on('response', (response) => {
    resolve(response.statusCode ?? 0);
    response.on('error', () => {}); // nothing of it is wanted any more
    response.destroy();
  });
  request.on('error', reject);
  request.end(body);
  return promise;
}
