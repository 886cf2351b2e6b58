import http from 'node:http';
import type { Duplex } from 'node:stream';
import type { GuestChannel } from '@sylph/engine';

/** Where in the guest requests go. */
export interface Target {
  host: string;
  port: number;
}

/** Options of a request over a {@link GuestPool}. */
export interface PooledRequest extends http.RequestOptions {
  /** Taken where the pool has no connection of its own. */
  dialled?: Duplex | undefined;
}

/** A connection younger than this is still open as far as anybody can know: servers wait longer for the next request. */
const freshMs = 1_000;

/** What an agent asks of sockets to hold the process or let it end: streams of a channel do neither. */
const hold = { ref: () => undefined, unref: () => undefined };

/** HTTP connections to one port of an awake sprite, kept for the next request. They end with the sprite's channel. */
export class GuestPool extends http.Agent {
  readonly #channel: GuestChannel;
  readonly #target: Target;
  /** When a connection became idle. */
  readonly #idleSince = new WeakMap<Duplex, number>();

  constructor(channel: GuestChannel, target: Target, limits: { maxConnections: number; maxIdle: number }) {
    super({
      keepAlive: true,
      maxSockets: limits.maxConnections,
      maxFreeSockets: limits.maxIdle,
      scheduling: 'lifo',
    });
    this.#channel = channel;
    this.#target = target;
  }

  /** Whether a request could go at once. `unrepeatable`: only over a connection that was in use just now; others are closed. */
  hasIdle({ unrepeatable }: { unrepeatable: boolean }): boolean {
    const now = performance.now();
    let idle = 0;
    for (const streams of Object.values(this.freeSockets)) {
      for (const stream of [...(streams ?? [])]) {
        if (stream.destroyed || !stream.writable) continue;
        if (unrepeatable && now - (this.#idleSince.get(stream) ?? 0) > freshMs) stream.destroy();
        else idle += 1;
      }
    }
    return idle > 0;
  }

  /** A new connection, to be given to a request. Rejects as `GuestChannel.dial`. */
  async dial(signal: AbortSignal): Promise<Duplex> {
    return this.adopt((await this.#channel.dial(this.#target, { signal })).stream);
  }

  /** Prepares a connection that was made elsewhere, as {@link dial} does. */
  adopt(stream: Duplex): Duplex {
    // Nothing more comes: an answer that lasts until then has ended, and no request goes this way again.
    stream.once('end', () => stream.end());
    return 'ref' in stream ? stream : Object.assign(stream, hold);
  }

  override createConnection(
    options: PooledRequest,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | undefined {
    if (options.dialled !== undefined) return options.dialled;
    // The connection it counted on has gone in this very moment.
    this.dial(new AbortController().signal).then(
      (stream) => callback?.(null, stream),
      (error: unknown) => callback?.(error as Error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  override keepSocketAlive(stream: Duplex): boolean {
    this.#idleSince.set(stream, performance.now());
    return !stream.destroyed && stream.writable && !stream.readableEnded;
  }
}
