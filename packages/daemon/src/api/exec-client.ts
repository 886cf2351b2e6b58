import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ExecServerMessage } from '@sylph/model';
import { ClientSocket } from './client-socket.ts';
import type { ApiLimits } from './deps.ts';

/** The client of an exec socket, as far as sending goes: a {@link ClientSocket} that is never quiet for long. */
export class ExecClient implements Disposable {
  readonly #socket: ClientSocket;
  readonly #keepAlive: NodeJS.Timeout;

  /** `connection` is what `socket` speaks over. */
  constructor(socket: WebSocket, connection: Duplex, limits: Pick<ApiLimits, 'maxUnsentBytes' | 'keepAliveMs'>) {
    this.#socket = new ClientSocket(socket, connection, limits);
    // Looked at four times as often as it is due, so that silence is at most a quarter longer.
    this.#keepAlive = setInterval(() => this.#breakSilence(limits.keepAliveMs), limits.keepAliveMs / 4);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#keepAlive);
  }

  /** Fires when the socket is closed, by whomever. */
  get gone(): AbortSignal {
    return this.#socket.gone;
  }

  /** Resolves when the socket is closed. */
  get closed(): Promise<void> {
    return this.#socket.closed;
  }

  /** Bytes the client has not been sent yet. */
  get unsentBytes(): number {
    return this.#socket.unsentBytes;
  }

  /** Sends a control message. One that cannot be delivered: the socket's `close` follows, and the session keeps the bytes for the next client. */
  tell(message: ExecServerMessage): void {
    void this.#socket.tell(message);
  }

  /** See {@link ClientSocket.send}. */
  send(bytes: Uint8Array, firstByte?: number): Promise<void> {
    return this.#socket.send(bytes, firstByte);
  }

  /** See {@link ClientSocket.close}. */
  close(code: number, reason: string): Promise<void> {
    clearInterval(this.#keepAlive);
    return this.#socket.close(code, reason);
  }

  #breakSilence(keepAliveMs: number): void {
    if (Date.now() - this.#socket.sentAt >= keepAliveMs && this.#socket.unsentBytes === 0)
      this.tell({ type: 'debug', msg: 'keepalive' });
  }
}
