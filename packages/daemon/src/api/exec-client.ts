import type { ExecServerMessage } from '@sylph/model';
import type { FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { ClientSocket, type ClientSocketLimits } from './client-socket.ts';
import type { ApiLimits } from './deps.ts';
import type { Ending } from './live.ts';

/** The client of an exec socket, as far as sending goes: a {@link ClientSocket} that is never quiet for long. */
export class ExecClient implements Disposable {
  readonly #socket: ClientSocket;
  readonly #keepAlive: NodeJS.Timeout;

  /** As for a {@link ClientSocket}. */
  constructor(socket: WebSocket, request: FastifyRequest, limits: ClientSocketLimits & Pick<ApiLimits, 'keepAliveMs'>) {
    this.#socket = new ClientSocket(socket, request, limits);
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
    void this.told(message);
  }

  /** As {@link tell}; resolves when the system has it, or the client is gone. */
  told(message: ExecServerMessage): Promise<void> {
    return this.#socket.tell(message);
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

  /** See {@link ClientSocket.end}. */
  end(ending: Ending, again: string): Promise<void> {
    clearInterval(this.#keepAlive);
    return this.#socket.end(ending, again);
  }

  #breakSilence(keepAliveMs: number): void {
    if (Date.now() - this.#socket.sentAt >= keepAliveMs && this.#socket.unsentBytes === 0)
      this.tell({ type: 'debug', msg: 'keepalive' });
  }
}
