import { SylphError } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Why something is ended that could go on: the server goes down, or its client's token is no longer valid. */
export type Ending = 'restart' | 'expelled';

/** Something long-lived a client is connected to. */
export interface Live {
  /** Says goodbye and closes; resolves when it is closed. Of a client that is `expelled`, nothing is heard any more. May be called again. Never rejects. */
  close: (ending: Ending) => Promise<void>;
}

/** A client's place in a {@link LiveSet}, free again when its answer or its connection is closed, or, before it is used, when it is disposed of. */
export interface Place extends Disposable {
  /** Uses it for something that lives on when the request has been dealt with. Once. */
  use(live: Live): void;
}

/** The streams and sockets that are open: counted against a limit, ended together when the API closes, and those of a token when it is no longer valid. */
export class LiveSet {
  readonly #max: number;
  /** Places taken, with whose they are and what they are used for once that is open. */
  readonly #places = new Map<Place, { tokenId: string; live?: Live }>();
  #closing = false;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Takes a place for a request, before the work that would be in vain without. Throws when there is none: `shutting_down` or `too_many_sessions`. Dispose it when the request has been dealt with.
   */
  reserve(request: FastifyRequest, { raw }: FastifyReply): Place {
    this.#assertRoom();
    const { tokenId } = request.caller;
    const { socket } = request.raw;
    const leave = (): void => {
      this.#places.delete(place);
      raw.off('close', leave);
      socket.off('close', leave);
    };
    const place: Place = {
      use: (live) => {
        // The client has gone: what it asked for hears of that by itself.
        if (!this.#places.has(place)) return;
        this.#places.set(place, { tokenId, live });
        // It opened while the set was being closed: its turn to be closed is past.
        if (this.#closing) void live.close('restart');
      },
      [Symbol.dispose]: () => {
        if (this.#places.get(place)?.live === undefined) leave();
      },
    };
    // Gone already: its `close` is past.
    if (raw.destroyed || socket.destroyed) return place;
    this.#places.set(place, { tokenId });
    // An answer that waits behind others on its connection, or that became a socket, hears of the connection's end only there.
    raw.once('close', leave);
    socket.once('close', leave);
    return place;
  }

  /** Closes all, now and from now on. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.allSettled(this.#open().map(({ live }) => live.close('restart')));
  }

  /** Tokens of what is open, each once. */
  tokenIds(): Set<string> {
    return new Set(this.#open().map(({ tokenId }) => tokenId));
  }

  /** Begins to end what is open with a token; how much that is. */
  expel(tokenId: string): number {
    const expelled = this.#open().filter((each) => each.tokenId === tokenId);
    for (const { live } of expelled) void live.close('expelled');
    return expelled.length;
  }

  #open(): { tokenId: string; live: Live }[] {
    return [...this.#places.values()].filter((each) => each.live !== undefined) as { tokenId: string; live: Live }[];
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
