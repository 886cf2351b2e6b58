import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { grouped } from './answer.ts';
import type { ClientRequest } from './client.ts';
import type { Exchange } from './exchange.ts';
import { answerHeaders, headText, type RawHeaders } from './heads.ts';

/** Most bytes of either direction that wait in the edge. */
const maxWaitingBytes = 64 * 1024;

/** Whether a request asks for a WebSocket; other upgrades, such as to HTTP/2, are not made, and the request is an ordinary one. */
export function isWebSocketUpgrade({ headers, method }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';
}

/** The client of a WebSocket: its bare connection, or its stream of an HTTP/2 connection. */
export interface SocketClient {
  stream: Duplex;
  /** What came with its request. */
  head: Buffer;
  /** Tells it the guest's answer: that it agrees, or, with a body to follow, that it does not. */
  answer(message: IncomingMessage, agreed: boolean): void;
}

/** A client that asked by an upgrade of HTTP/1.1. */
export function http1Client(stream: Duplex, head: Buffer, hsts: string | undefined): SocketClient {
  const answer = (message: IncomingMessage, agreed: boolean): void => {
    const connection = agreed ? ['Connection', 'Upgrade', 'Upgrade', 'websocket'] : ['Connection', 'close'];
    const headers = [...answerHeaders(message.rawHeaders, { hsts, httpVersion: message.httpVersion }), ...connection];
    stream.write(headText(message.statusCode ?? 502, message.statusMessage ?? '', headers), 'latin1');
  };
  return { stream, head, answer };
}

/** A client that asked by an extended CONNECT of HTTP/2 (RFC 8441), where agreeing is 200. */
export function http2Client(stream: ServerHttp2Stream, hsts: string | undefined): SocketClient {
  const answer = (message: IncomingMessage, agreed: boolean): void => {
    const headers = grouped(answerHeaders(message.rawHeaders, { hsts, httpVersion: message.httpVersion }));
    delete headers['sec-websocket-accept'];
    stream.respond({ ':status': agreed ? 200 : (message.statusCode ?? 502), ...headers });
  };
  return { stream, head: Buffer.alloc(0), answer };
}

/** What a guest is asked for: a client of HTTP/2 has no key, since nothing there could mistake one request for another. */
export function upgradeHeaders({ headers }: ClientRequest): RawHeaders {
  const key =
    headers['sec-websocket-key'] === undefined ? ['Sec-WebSocket-Key', randomBytes(16).toString('base64')] : [];
  return ['Connection', 'Upgrade', 'Upgrade', 'websocket', ...key];
}

/** Carries the answer of a guest that does not agree. */
export function carryRefusal(message: IncomingMessage, client: Duplex, exchange: Exchange): Promise<void> {
  message.pipe(client);
  message.on('data', () => exchange.used());
  message.on('error', () => {
    // Its close follows.
  });
  message.once('close', () => !message.readableEnded && client.destroy());
  return new Promise((resolve) => {
    const closed = (): void => {
      message.destroy();
      resolve();
    };
    client.once('close', closed);
    if (client.destroyed) closed();
  });
}

/** Carries bytes both ways until both sides have ended or one has broken off, which breaks the other off. What came with the heads goes first. */
export function carry(
  client: Duplex,
  guest: Duplex,
  heads: { client: Buffer; guest: Buffer },
  exchange: Exchange,
): Promise<void> {
  const used = (): void => exchange.used();
  if (heads.client.length > 0) guest.write(heads.client);
  if (heads.guest.length > 0) client.write(heads.guest);
  pass(client, guest, used);
  pass(guest, client, used);
  return new Promise((resolve) => {
    const closed = (): void => {
      client.destroy();
      guest.destroy();
      resolve();
    };
    client.once('close', closed);
    guest.once('close', closed);
    if (client.destroyed || guest.destroyed) closed();
  });
}

function pass(from: Duplex, to: Duplex, used: () => void): void {
  from.on('error', () => {
    // Its close follows and ends both.
  });
  from.on('data', (chunk: Buffer) => {
    used();
    if (!to.writable) return;
    to.write(chunk);
    if (to.writableLength < maxWaitingBytes) return;
    from.pause();
    to.once('drain', () => from.resume());
  });
  from.once('end', () => to.writable && to.end());
}
