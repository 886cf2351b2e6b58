import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ApiLimits } from './deps.ts';
import { binaryHeader } from './frame.ts';

/** Longest reason of a close frame, bytes (RFC 6455, section 5.5). */
const maxReasonBytes = 123;

/**
 * A client's WebSocket, as far as sending goes: in order, and held back when the client does not read.
 *
 * Binary messages are written to the connection as frames of our own, beside the library's: a byte in front of the payload would otherwise cost a copy of all bytes. The library writes each of its frames at once
 * and compresses nothing here, so frames never mix.
 */
export class ClientSocket {
  readonly #socket: WebSocket;
  readonly #connection: Duplex;
  readonly #maxUnsentBytes: number;
  readonly #gone = new AbortController();
  readonly #closed: Promise<void>;
  #sentAt = Date.now();

  /** `connection` is what `socket` speaks over. */
  constructor(socket: WebSocket, connection: Duplex, { maxUnsentBytes }: Pick<ApiLimits, 'maxUnsentBytes'>) {
    this.#socket = socket;
    this.#connection = connection;
    this.#maxUnsentBytes = maxUnsentBytes;
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
    if (this.#connection.writableLength > this.#maxUnsentBytes) await sent.promise;
  }

  /** Says goodbye after everything sent so far; resolves when the peer has said it too, or did not within the library's 30 s. */
  async close(code: number, reason: string): Promise<void> {
    this.#socket.resume();
    this.#socket.close(code, cut(reason));
    await this.#closed;
  }

  /** As {@link close}, but does not wait longer than `timeoutMs` for the peer. */
  async leave(code: number, reason: string, timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#socket.terminate(), timeoutMs);
    await this.close(code, reason);
    clearTimeout(timer);
  }
}

/** Cuts a text to the bytes a close frame holds, at a character's end. */
function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxReasonBytes) return text;
  return new TextDecoder('utf-8').decode(bytes.subarray(0, maxReasonBytes), { stream: true });
}
