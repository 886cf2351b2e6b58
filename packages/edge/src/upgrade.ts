import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Exchange } from './exchange.ts';
import { answerHeaders, type RawHeaders } from './heads.ts';

/** Most bytes of either direction that wait in the edge. */
const maxWaitingBytes = 64 * 1024;

/** Whether a request asks for a WebSocket; other upgrades, such as to HTTP/2, are not made, and the request is an ordinary one. */
export function isWebSocketUpgrade({ headers, method }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';
}

/** The head of an answer as text, for the bare connection of an upgrade. */
export function rawHead(message: IncomingMessage, extra: RawHeaders, hsts: string | undefined): string {
  const headers = [...answerHeaders(message.rawHeaders, { hsts, httpVersion: message.httpVersion }), ...extra];
  const lines: string[] = [];
  for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `HTTP/1.1 ${message.statusCode} ${message.statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** Carries bytes both ways until both sides have ended or one has broken off, which breaks the other off. What came with the heads goes first. */
export function carry(
  client: Duplex,
  guest: Duplex,
  heads: { client: Buffer; guest: Buffer },
  exchange: Exchange,
): Promise<void> {
  exchange.writes = client;
  exchange.clientMovedAt = performance.now();
  const used = (): void => exchange.used();
  if (heads.client.length > 0) guest.write(heads.client);
  if (heads.guest.length > 0) client.write(heads.guest);
  pass(client, guest, used);
  pass(guest, client, used);
  client.on('drain', () => (exchange.clientMovedAt = performance.now()));
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
