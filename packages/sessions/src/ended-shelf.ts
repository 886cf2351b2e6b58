/** Ended sessions kept per sprite, and for how long: a client that attaches after a fast exit still gets everything. */
const maxEnded = 64;
const keepMs = 10 * 60_000;

/** Whoever started a session gets this long to attach, however many end meanwhile, up to a last bound. */
const graceMs = 10_000;
const maxEndedInGrace = 2048;

/** What the shelf needs to know of a session. */
interface Ended {
  readonly id: string;
  /** Somebody is attached or reads. */
  readonly inUse: boolean;
}

/** Ended sessions of a sprite, oldest first. One in use stays until it is not; call {@link sweep} then. */
export class EndedShelf<T extends Ended> {
  readonly #remove: (session: T) => void;
  readonly #sessions = new Map<string, { session: T; endedMs: number }>();
  #timer: NodeJS.Timeout | undefined;

  /** `remove` is called for each session that leaves, once. */
  constructor(remove: (session: T) => void) {
    this.#remove = remove;
  }

  get(id: string): T | undefined {
    return this.#sessions.get(id)?.session;
  }

  /** `agoMs`: how long ago it ended. */
  add(session: T, agoMs = 0): void {
    this.#sessions.set(session.id, { session, endedMs: performance.now() - agoMs });
    this.sweep();
  }

  delete(id: string): void {
    this.#sessions.delete(id);
  }

  /** Removes what is over its time or beyond the number. Looks at those in use and at those that go: the first that stays ends it, for none behind it ended earlier. */
  sweep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = performance.now();
    for (const { session, endedMs } of this.#sessions.values()) {
      if (session.inUse) continue;
      const crowd = this.#sessions.size;
      const stayMs = crowd > maxEndedInGrace ? 0 : crowd > maxEnded ? graceMs : keepMs;
      const leftMs = endedMs + stayMs - now;
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.sweep(), leftMs + 1).unref();
        return;
      }
      this.#sessions.delete(session.id);
      this.#remove(session);
    }
  }

  /** Hands all over to the caller. */
  clear(): T[] {
    clearTimeout(this.#timer);
    const all = [...this.#sessions.values()].map((one) => one.session);
    this.#sessions.clear();
    return all;
  }
}
