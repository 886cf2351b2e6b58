import { linkedController } from '../deadline.ts';
import { deferred } from '../deferred.ts';
import { ClientError } from '../errors.ts';
import { OutputQueue } from '../exec/output-queue.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Socket } from '../transport/transport.ts';

/** A message of the server: bytes, or the bytes of a text. */
export interface SocketMessage {
  bytes: Uint8Array;
  isText: boolean;
}

/** A WebSocket about ports: its messages in order, held back when nobody reads them. `messages` ends when the server closes with 1000 or 1001, else it throws `connection_lost`, or the reason of a signal. */
export class PortSocket {
  readonly messages: OutputQueue<SocketMessage>;
  readonly #link: ReturnType<typeof linkedController>;
  #socket: Socket | undefined;
  #over = false;
  readonly #pongs = new Map<string, () => void>();
  readonly #closed = deferred();

  private constructor(link: ReturnType<typeof linkedController>) {
    this.#link = link;
    this.messages = new OutputQueue({ pause: () => this.#socket?.pause(), resume: () => this.#socket?.resume() });
  }

  static async open(options: ResolvedOptions, url: URL, signal: AbortSignal | undefined): Promise<PortSocket> {
    const link = linkedController([signal, options.signal]);
    const opened = new PortSocket(link);
    const aborted = (): void => opened.#end(link.controller.signal.reason);
    link.controller.signal.addEventListener('abort', aborted, { once: true });
    try {
      opened.#socket = await options.transport.connect({
        url,
        headers: options.headers,
        connectMs: options.timeouts.connectMs,
        answerMs: options.timeouts.lifecycleMs,
        signal: link.controller.signal,
        events: {
          message: (data) =>
            opened.messages.push(
              typeof data === 'string'
                ? { bytes: new TextEncoder().encode(data), isText: true }
                : { bytes: data, isText: false },
            ),
          pong: (text) => opened.#pongs.get(text)?.(),
          closed: ({ code, reason }) => opened.#end(code === 1000 || code === 1001 ? undefined : lost(code, reason)),
        },
      });
    } catch (thrown) {
      opened.#end(thrown);
      throw thrown;
    }
    if (opened.messages.paused) opened.#socket.pause();
    return opened;
  }

  /** Resolves when it is over. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Resolves when more may be sent. Sent into a socket that is over, it is dropped. */
  async send(data: Uint8Array | string): Promise<void> {
    if (!this.#over) await Promise.race([this.#socket?.send(data), this.#closed.promise]);
  }

  /** Resolves when the server has read everything sent so far, or the socket is over. */
  async flushed(): Promise<void> {
    // Without pings the platform's own close waits until everything is out.
    if (this.#over || this.#socket?.ping === undefined) return;
    const heard = deferred();
    this.#pongs.set('flushed', heard.resolve);
    this.#socket.ping('flushed');
    await Promise.race([heard.promise, this.#closed.promise]);
  }

  /** Says goodbye. */
  close(): void {
    this.#socket?.resume();
    this.#socket?.close(1000);
  }

  /** Ends at once, without a goodbye. */
  terminate(): void {
    this.#socket?.terminate();
  }

  #end(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#link.unlink();
    this.messages.end(error);
    this.#closed.resolve();
    if (error !== undefined) this.#socket?.terminate();
  }
}

function lost(code: number, reason: string): ClientError {
  return new ClientError('connection_lost', `the connection broke (${code}${reason === '' ? '' : `: ${reason}`})`, {
    retryable: true,
  });
}
