import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { isIPv4 } from 'node:net';

/** A request as Node's servers give it. */
export type ClientRequest = IncomingMessage | Http2ServerRequest;

/** Who asks, and over what. */
export interface Client {
  /** Address; what a proxy of this host says, if one speaks. */
  address: string;
  /** What the connection, or the proxy in front, came over. */
  scheme: 'http' | 'https';
  /** Whether a proxy of this host stands in front. */
  proxied: boolean;
}

/** Whether an address may say whom it speaks for: programs of this host, such as Caddy. */
export function isLoopback(address: string): boolean {
  return address === '::1' || (isIPv4(address) && address.startsWith('127.'));
}

/** Reads who asks. `trusts` tells which peers are believed what they say of their clients. */
export function clientOf(request: ClientRequest, trusts: (address: string) => boolean): Client {
  const { socket } = request;
  const peer = plainAddress(socket.remoteAddress ?? '');
  const own = (socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http';
  const forwarded = lastOf(request.headers['x-forwarded-for']);
  if (forwarded === undefined || !trusts(peer)) return { address: peer, scheme: own, proxied: false };
  return {
    address: plainAddress(forwarded),
    scheme: lastOf(request.headers['x-forwarded-proto']) === 'https' ? 'https' : own,
    proxied: true,
  };
}

/** IPv4 addresses in the form of IPv6 as IPv4. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

function lastOf(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.at(-1) : header;
  const last = text?.split(',').at(-1)?.trim();
  return last === '' ? undefined : last;
}
