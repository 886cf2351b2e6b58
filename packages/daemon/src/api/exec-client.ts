import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ExecServerMessage } from '@sylph/model';
import type { ApiLimits } from './deps.ts';
import { binaryHeader } from './frame.ts';

/** Longest reason of a close frame, bytes (RFC 6455, section 5.5). */
const maxReasonBytes = 123;

/**
 * The client of an exec socket, as far as sending goes: in order, held back when it does not read, never quiet for long.
 *
 * Output is written to the connection as frames of our own, beside the library's: the stream byte in front of the payload would otherwise cost a copy of all output. The library writes each of its frames at once
 * and compresses nothing here, so frames never mix.
 */
export class ExecClient implements Disposable {
  readonly #socket: WebSocket;
  readonly #connection: Duplex;
  readonly #limits: Pick<ApiLimits, 'maxUnsentBytes' | 'keepAliveMs'>;
  readonly #gone = new AbortController();
  readonly #closed: Promise<void>;
  readonly #keepAlive: NodeJS.Timeout;
  #sentAt = Date.now();

  /** `connection` is what `socket` speaks over. */
  constructor(socket: WebSocket, connection: Duplex, limits: Pick<ApiLimits, 'maxUnsentBytes' | 'keepAliveMs'>) {
    this.#socket = socket;
    this.#connection = connection;
    this.#limits = limits;
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    void this.#closed.then(() => this.#gone.abort());
    // Looked at four times as often as it is due, so that silence is at most a quarter longer.
    this.#keepAlive = setInterval(() => this.#breakSilence(), limits.keepAliveMs / 4);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#keepAlive);
  }

  /** Fires when the socket is closed, by whomever. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when the socket is closed. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Sends a control message. */
  tell(message: ExecServerMessage): void {
    this.#sentAt = Date.now();
    this.#socket.send(JSON.stringify(message), ignoreLoss);
  }

  /** Sends a binary message of `bytes`, behind `firstByte` if there is one. `bytes` must not change until it resolves and later: it is not copied. Resolves when more may be sent. */
  async send(bytes: Uint8Array, firstByte?: number): Promise<void> {
    // What can no longer be delivered is lost to this client only; the session keeps it.
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
    clearInterval(this.#keepAlive);
    this.#socket.resume();
    this.#socket.close(code, cut(reason));
    await this.#closed;
  }

  #breakSilence(): void {
    if (Date.now() - this.#sentAt >= this.#limits.keepAliveMs && this.#socket.bufferedAmount === 0)
      this.tell({ type: 'debug', msg: 'keepalive' });
  }
}

/** A message that cannot be delivered: the socket's `close` follows, and the session keeps the bytes for the next client. */
function ignoreLoss(): void {}

/** Cuts a text to the bytes a close frame holds, at a character's end. */
function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxReasonBytes) return text;
  return new TextDecoder('utf-8').decode(bytes.subarray(0, maxReasonBytes), { stream: true });
}
