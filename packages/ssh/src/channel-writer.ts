import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';

/** What the library keeps of a write that waits for the client's window. It does not forget it afterwards, and would send it again with the next window. */
interface Pending {
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
}

/** While keys are exchanged anew the library queues what is written, without a bound. */
interface Rekeying {
  _protocol: { _queue: unknown };
}

/** Writes to channels of one connection no faster than its client reads. */
export class ConnectionWriter {
  readonly #client: Connection;
  readonly #socket: Socket;
  readonly #maxUnsentBytes: number;
  #gathering = false;

  constructor(client: Connection, socket: Socket, { maxUnsentBytes }: { maxUnsentBytes: number }) {
    this.#client = client;
    this.#socket = socket;
    this.#maxUnsentBytes = maxUnsentBytes;
  }

  /** The library hands a packet over in three pieces: what is written until the event loop's next turn goes out together. */
  gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#socket.cork();
    setImmediate(() => {
      this.#gathering = false;
      this.#socket.uncork();
    });
  }

  /** Resolves when little is unsent, or `gone` fires. */
  async room(gone: AbortSignal): Promise<void> {
    const waitFor = (source: Connection | Socket, event: string): Promise<unknown> =>
      // It ends with `gone`, as the loop then sees.
      once(source as Socket, event, { signal: gone }).catch(() => {});
    while (!gone.aborted) {
      if (this.#socket.destroyed) return;
      if ((this.#client as unknown as Rekeying)._protocol._queue !== undefined) await waitFor(this.#client, 'rekey');
      else if (this.#socket.writableLength > this.#maxUnsentBytes) await waitFor(this.#socket, 'drain');
      else return;
    }
  }
}

/** One channel's output. One write at a time. */
export class ChannelWriter {
  readonly #channel: ServerChannel;
  readonly #connection: ConnectionWriter;
  readonly #gone: AbortSignal;

  /** `gone` fires when the channel is closed. */
  constructor(channel: ServerChannel, connection: ConnectionWriter, gone: AbortSignal) {
    this.#channel = channel;
    this.#connection = connection;
    this.#gone = gone;
  }

  /** Resolves when more may be written, or the channel is closed. */
  async write(bytes: Buffer, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    await this.#connection.room(this.#gone);
    if (this.#gone.aborted) return;
    this.#connection.gather();
    await this.#written(bytes, stream);
    Object.assign(this.#channel, {
      _chunk: undefined,
      _chunkcb: undefined,
      _chunkErr: undefined,
      _chunkcbErr: undefined,
    } satisfies Pending);
  }

  #written(bytes: Buffer, stream: 'stdout' | 'stderr'): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#gone.removeEventListener('abort', done);
        resolve();
      };
      // A write to a channel that is closed meanwhile is never called back.
      this.#gone.addEventListener('abort', done, { once: true });
      if (stream === 'stdout') this.#channel.write(bytes, done);
      else this.#channel.stderr.write(bytes, done);
    });
  }
}
