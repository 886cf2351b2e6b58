import type { Duplex } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { ApiLimits } from './deps.ts';
import { binaryHeader } from './frame.ts';
import type { Ending } from './live.ts';

/** Longest reason of a close frame, bytes (RFC 6455, section 5.5). */
const maxReasonBytes = 123;

/** What clients are told that are ended although they could go on. Close codes: RFC 6455, section 7.4.1. `again`: what they can do later. */
const goodbyes: Record<Ending, (again: string) => { code: number; reason: string }> = {
  restart: (again) => ({ code: 1012, reason: `the server restarts; ${again}` }),
  expelled: () => ({ code: 1008, reason: 'the token is no longer valid' }),
};

/** What a {@link ClientSocket} asks of the limits. */
export type ClientSocketLimits = Pick<ApiLimits, 'maxUnsentBytes' | 'closeTimeoutMs'>;

/**
 * A client's WebSocket, as far as sending goes: in order, and held back when the client does not read.
 *
 * Binary messages are written to the connection as frames of our own, beside the library's: a byte in front of the payload would otherwise cost a copy of all bytes. The library writes each of its frames at once
 * and compresses nothing here, so frames never mix.
 */
export class ClientSocket {
  readonly #socket: WebSocket;
  readonly #connection: Duplex;
  readonly #limits: ClientSocketLimits;
  readonly #gone = new AbortController();
  readonly #closed: Promise<void>;
  #sentAt = Date.now();

  /** `request` is what `socket` was opened with, and has a log. */
  constructor(socket: WebSocket, { raw, log }: FastifyRequest, limits: ClientSocketLimits) {
    this.#socket = socket;
    this.#connection = raw.socket;
    this.#limits = limits;
    // A protocol error of the client; the library closes with the fitting code.
    socket.on('error', (error) => log.debug({ err: error }, 'a socket failed'));
    // The library answers each; a client that reads nothing and sends them without end would have the answers pile up.
    socket.on('ping', () => {
      if (this.unsentBytes <= 2 * limits.maxUnsentBytes) return;
      log.warn('a client that pings without reading is cut off');
      socket.terminate();
    });
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    void this.#closed.then(() => this.#gone.abort());
  }

  /** Fires when the socket is closed, by whomever. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when the socket is closed. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** When something was sent last, ms since 1970. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** Bytes the client has not been sent yet. */
  get unsentBytes(): number {
    return this.#connection.writableLength;
  }

  /** Sends a text message; resolves when the system has it, or the client is gone. */
  tell(message: object): Promise<void> {
    this.#sentAt = Date.now();
    return new Promise((resolve) => this.#socket.send(JSON.stringify(message), () => resolve()));
  }

  /** Sends a binary message of `bytes`, behind `firstByte` if there is one. `bytes` must not change until it resolves and later: it is not copied. Resolves when more may be sent. */
  async send(bytes: Uint8Array, firstByte?: number): Promise<void> {
    // What can no longer be delivered is lost to this client only.
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#sentAt = Date.now();
    const sent = Promise.withResolvers<void>();
    // All messages of one turn of the event loop go out in one system call.
    if (this.#connection.writableCorked === 0) {
      this.#connection.cork();
      process.nextTick(() => this.#connection.uncork());
    }
    this.#connection.write(binaryHeader(bytes.length, firstByte));
    this.#connection.write(bytes, () => sent.resolve());
    if (this.#connection.writableLength > this.#limits.maxUnsentBytes) await sent.promise;
  }

  /** Says goodbye after everything sent so far; resolves when the peer has said it too, or did not within the library's 30 s. */
  async close(code: number, reason: string): Promise<void> {
    this.#socket.resume();
    this.#socket.close(code, cut(reason));
    await this.#closed;
  }

  /** As {@link close}, but waits no longer for the peer than the limits say. */
  async leave(code: number, reason: string): Promise<void> {
    const timer = setTimeout(() => this.#socket.terminate(), this.#limits.closeTimeoutMs);
    await this.close(code, reason);
    clearTimeout(timer);
  }

  /** Ends a client that could go on; `again` tells it what to do later. One that is expelled is heard no more. */
  end(ending: Ending, again: string): Promise<void> {
    if (ending === 'expelled') this.#socket.removeAllListeners('message');
    const { code, reason } = goodbyes[ending](again);
    return this.leave(code, reason);
  }
}

/** Cuts a text to the bytes a close frame holds, at a character's end. */
function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxReasonBytes) return text;
  return new TextDecoder('utf-8').decode(bytes.subarray(0, maxReasonBytes), { stream: true });
}
