import type { ClientRequest as GuestRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { addTrailers, cut, flushHead, writeHead, type ClientAnswer } from './answer.ts';
import type { ClientRequest } from './client.ts';
import type { Exchange } from './exchange.ts';
import { answerHeaders, trailers } from './heads.ts';

/** A client that still sends a body nobody takes has so long until its connection is cut, ms. */
const lingerMs = 1_000;

/** Passes a request's body on, with what follows it; as fast as it is taken. */
export function passBody(request: ClientRequest, guest: GuestRequest, exchange: Exchange): void {
  request.once('end', () => {
    const last = trailers(request.rawTrailers);
    if (last.length > 0) guest.addTrailers(last);
    guest.end();
  });
  request.pipe(guest, { end: false });
  request.on('data', () => exchange.used());
}

/** Tells the client what the guest says before its answer. */
export function passInformation(guest: GuestRequest, answer: ClientAnswer): void {
  guest.on('continue', () => {
    if (!answer.headersSent && !answer.writableEnded) answer.writeContinue();
  });
  guest.on('information', ({ statusCode, headers }) => {
    const { link } = headers as { link?: string };
    if (statusCode !== 103 || link === undefined || answer.headersSent) return;
    answer.writeEarlyHints({ link });
  });
}

/**
 * Passes a guest's answer on, as it comes. Resolves when the client has it, or one of both has gone; what broke off is broken off for the client too, so that nobody takes a part for the whole.
 */
export async function passAnswer(
  message: IncomingMessage,
  answer: ClientAnswer,
  exchange: Exchange,
  { hsts }: { hsts: string | undefined },
): Promise<void> {
  const closed = new Promise<void>((resolve) => answer.once('close', resolve));
  if (answer.destroyed) {
    message.destroy();
    return;
  }
  const status = message.statusCode ?? 502;
  const headers = answerHeaders(message.rawHeaders, { hsts, httpVersion: message.httpVersion });
  writeHead(answer, status, message.statusMessage ?? '', headers);
  message.on('error', () => {
    // Its close follows.
  });
  if (message.complete) passWhole(message, answer);
  else passStream(message, answer, exchange);
  await closed;
}

/** Passes on what has come whole with its head, as small answers do. */
function passWhole(message: IncomingMessage, answer: ClientAnswer): void {
  const { socket } = message;
  const body = message.read() as Buffer | null;
  finish(message, answer, socket, body);
}

function passStream(message: IncomingMessage, answer: ClientAnswer, exchange: Exchange): void {
  // A head whose body lets wait is sent by itself.
  if (message.readableLength === 0) flushHead(answer);
  const { socket } = message;
  message.once('end', () => finish(message, answer, socket, null));
  // It broke off in the middle.
  message.once('close', () => {
    if (!message.readableEnded) cut(answer);
  });
  answer.once('close', () => {
    if (!message.readableEnded) message.destroy();
  });
  message.pipe(answer, { end: false });
  message.on('data', () => exchange.used());
}

/** Ends an answer with the last of its body, unless the guest did not end it. */
function finish(message: IncomingMessage, answer: ClientAnswer, socket: Socket, body: Buffer | null): void {
  if (lastsUntilClose(message) && socket.destroyed && !socket.readableEnded) {
    cut(answer);
    return;
  }
  addTrailers(answer, trailers(message.rawTrailers));
  if (body === null) answer.end();
  else answer.end(body);
}

/** Whether an answer ends with its connection. Node takes every end for one, also when the connection broke. */
function lastsUntilClose({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
}

/** Ends the connection of a client that still sends what nobody wants, once it has the answer. */
export function stopReading(request: ClientRequest): void {
  if (request.complete || request.destroyed) return;
  request.unpipe();
  request.resume();
  const timer = setTimeout(() => request.destroy(), lingerMs);
  request.once('close', () => clearTimeout(timer));
}
