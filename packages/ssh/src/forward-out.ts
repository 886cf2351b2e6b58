import { setTimeout as sleep } from 'node:timers/promises';
import { type AcceptedConnection, GuestDialError, type GuestListener, type ListenAddress } from '@sylph/engine';
import type { ServerChannel } from 'ssh2';
import type { ConnectionParts } from './connection-parts.ts';
import { carry, notable } from './tunnel.ts';

/** Between attempts to listen again where the listener of before the sprite's sleep is still being ended, ms. */
const againMs = [50, 200, 500, 1_000] as const;

/** Opens a channel to the client for a connection that came in; rejects when the client refuses. */
export type OpenChannel = (accepted: AcceptedConnection) => Promise<ServerChannel>;

/** A listener inside on behalf of a client. It goes with the sprite's sleep, and comes back in the same place with the next wake its client causes. */
export class ForwardOut implements Disposable {
  readonly #parts: ConnectionParts;
  readonly #where: ListenAddress;
  readonly #open: OpenChannel;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;

  private constructor(parts: ConnectionParts, where: ListenAddress, open: OpenChannel) {
    this.#parts = parts;
    this.#where = where;
    this.#open = open;
    this.#signal = AbortSignal.any([this.#over.signal, parts.link.over]);
  }

  /** Listens; `address` tells where. Rejects as `GuestSockets.listen`. */
  static async start(
    parts: ConnectionParts,
    where: ListenAddress,
    open: OpenChannel,
  ): Promise<{ forward: ForwardOut; address: string }> {
    const first = new ForwardOut(parts, where, open);
    const listener = await first.#listen();
    const { address } = listener;
    // A port the guest has chosen is asked for by number from now on.
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    const forward = new ForwardOut(parts, 'port' in where ? { ...where, port } : where, open);
    void forward.#run(listener);
    return { forward, address };
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }

  async #listen(): Promise<GuestListener> {
    using lease = await this.#parts.link.use();
    const { user } = this.#parts.deps.commandBase(lease.view);
    return await lease.channel.sockets.listen(this.#where, { user, signal: this.#signal });
  }

  /** Never rejects. */
  async #run(first: GuestListener): Promise<void> {
    for (let listener: GuestListener | undefined = first; listener !== undefined;) {
      const woken = this.#parts.link.nextChannel(this.#signal);
      await this.#serve(listener);
      await woken;
      listener = this.#signal.aborted ? undefined : await this.#listenAgain();
    }
  }

  /** Until the listener ends. Never rejects. */
  async #serve(listener: GuestListener): Promise<void> {
    const close = (): void => listener[Symbol.dispose]();
    this.#signal.addEventListener('abort', close, { once: true });
    try {
      if (this.#signal.aborted) close();
      for await (const accepted of listener.connections) void this.#pass(accepted);
    } catch {
      // The sprite went to sleep, or away: it is listened again with the next channel, if one comes.
    } finally {
      this.#signal.removeEventListener('abort', close);
      close();
    }
  }

  async #listenAgain(): Promise<GuestListener | undefined> {
    for (const pauseMs of againMs) {
      try {
        return await this.#listen();
      } catch (error) {
        if (this.#signal.aborted) return undefined;
        if (!(error instanceof GuestDialError)) {
          this.#parts.log.warn({ err: error }, 'a forward does not come back after a wake');
          return undefined;
        }
        // Ends with the signal, as the loop then sees.
        await sleep(pauseMs, undefined, { signal: this.#signal }).catch(() => {});
      }
    }
    this.#parts.log.warn({ where: this.#where }, 'a forward does not come back after a wake: its place is taken');
    return undefined;
  }

  /** Never rejects. */
  async #pass(accepted: AcceptedConnection): Promise<void> {
    const { channels, log } = this.#parts;
    // One that is not taken is reset inside after a while.
    if (!channels.take()) return;
    try {
      const connection = await accepted.take({ signal: this.#signal });
      let channel: ServerChannel;
      try {
        channel = await this.#open(accepted);
      } catch {
        // The client wants no connection here: who made it sees it reset.
        connection.stream.destroy();
        return;
      }
      await carry(channel, connection, this.#parts);
    } catch (error) {
      if (!this.#signal.aborted && notable(error) !== undefined)
        log.warn({ err: error }, 'a connection could not be passed on');
    } finally {
      channels.release();
    }
  }
}
