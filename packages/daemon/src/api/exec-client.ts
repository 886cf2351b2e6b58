import type { WebSocket } from 'ws';
import type { ExecServerMessage } from '@sylph/model';
import type { ApiLimits } from './deps.ts';

/** Longest reason of a close frame, bytes (RFC 6455, section 5.5). */
const maxReasonBytes = 123;

/** The client of an exec socket, as far as sending goes: in order, held back when it does not read, never quiet for long. */
export class ExecClient implements Disposable {
  readonly #socket: WebSocket;
  readonly #limits: Pick<ApiLimits, 'maxUnsentBytes' | 'keepAliveMs'>;
  readonly #gone = new AbortController();
  readonly #closed: Promise<void>;
  readonly #keepAlive: NodeJS.Timeout;
  #sentAt = Date.now();

  constructor(socket: WebSocket, limits: Pick<ApiLimits, 'maxUnsentBytes' | 'keepAliveMs'>) {
    this.#socket = socket;
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

  /** Sends a binary message; resolves when more may be sent. */
  async send(message: Uint8Array): Promise<void> {
    this.#sentAt = Date.now();
    if (this.#socket.bufferedAmount + message.length <= this.#limits.maxUnsentBytes) {
      this.#socket.send(message, ignoreLoss);
      return;
    }
    await new Promise<void>((resolve) => this.#socket.send(message, () => resolve()));
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
