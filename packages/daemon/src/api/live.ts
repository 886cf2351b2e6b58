import { SylphError } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Something long-lived a client is connected to. */
export interface Live {
  /** Says goodbye and closes; resolves when it is closed. */
  close: () => Promise<void>;
}

/** A client's place in a {@link LiveSet}, free again when its answer or its connection is closed, or, before it is used, when it is disposed of. */
export interface Place extends Disposable {
  /** Uses it for something that lives on when the request has been dealt with. Once. */
  use(live: Live): void;
}

/** The streams and sockets that are open: counted against a limit, and ended together when the API closes. */
export class LiveSet {
  readonly #max: number;
  /** Places taken, with what they are used for once that is open. */
  readonly #places = new Map<Place, Live | undefined>();
  #closing = false;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Takes a place for a request, before the work that would be in vain without. Throws when there is none: `shutting_down` or `too_many_sessions`. Dispose it when the request has been dealt with.
   */
  reserve({ raw: { socket } }: FastifyRequest, { raw }: FastifyReply): Place {
    this.#assertRoom();
    const leave = (): void => {
      this.#places.delete(place);
      raw.off('close', leave);
      socket.off('close', leave);
    };
    const place: Place = {
      use: (live) => {
        // The client has gone: what it asked for hears of that by itself.
        if (!this.#places.has(place)) return;
        this.#places.set(place, live);
        // It opened while the set was being closed: its turn to be closed is past.
        if (this.#closing) void live.close();
      },
      [Symbol.dispose]: () => {
        if (this.#places.get(place) === undefined) leave();
      },
    };
    // Gone already: its `close` is past.
    if (raw.destroyed || socket.destroyed) return place;
    this.#places.set(place, undefined);
    // An answer that waits behind others on its connection, or that became a socket, hears of the connection's end only there.
    raw.once('close', leave);
    socket.once('close', leave);
    return place;
  }

  /** Closes all, now and from now on. */
  async close(): Promise<void> {
    this.#closing = true;
    const open = [...this.#places.values()].filter((live) => live !== undefined);
    await Promise.allSettled(open.map((live) => live.close()));
  }

  #assertRoom(): void {
    if (this.#closing)
      throw new SylphError('shutting_down', 'the server is going down', { hint: 'Try again in a moment.' });
    if (this.#places.size >= this.#max) {
      throw new SylphError('too_many_sessions', `${this.#max} streams are open, which is the limit of this server`, {
        hint: 'Close some, or raise the limit.',
      });
    }
  }
}
