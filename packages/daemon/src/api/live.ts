import { SylphError } from '@sylph/model';

/** Something long-lived a client is connected to. */
export interface Live {
  /** Says goodbye and closes; resolves when it is closed. */
  close: () => Promise<void>;
}

/** The streams and sockets that are open: counted against a limit, and ended together when the API closes. */
export class LiveSet {
  readonly #max: number;
  readonly #members = new Set<Live>();
  #closing = false;

  constructor(max: number) {
    this.#max = max;
  }

  /** Throws when no further one may open: `shutting_down` or `too_many_sessions`. Call before the work that would be in vain. */
  assertRoom(): void {
    if (this.#closing)
      throw new SylphError('shutting_down', 'the server is going down', { hint: 'Try again in a moment.' });
    if (this.#members.size >= this.#max) {
      throw new SylphError('too_many_sessions', `${this.#max} streams are open, which is the limit of this server`, {
        hint: 'Close some, or raise the limit.',
      });
    }
  }

  /** Counts one in. Call the result when it is closed. */
  add(live: Live): () => void {
    this.#members.add(live);
    // It opened while the set was being closed: its turn to be closed is past.
    if (this.#closing) void live.close();
    return () => this.#members.delete(live);
  }

  get size(): number {
    return this.#members.size;
  }

  /** Closes all, now and from now on. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.allSettled([...this.#members].map((live) => live.close()));
  }
}
