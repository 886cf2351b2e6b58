/** What a server tells line by line, in the shape the npm SDK gives it. One reader. */
export class EventStream<T> implements AsyncIterable<T> {
  readonly #source: AsyncIterator<T, unknown>;
  readonly #ends: AbortController;
  #first: IteratorResult<T, unknown> | undefined;
  #closed = false;

  private constructor(source: AsyncIterator<T, unknown>, ends: AbortController) {
    this.#source = source;
    this.#ends = ends;
  }

  /** Waits for the first event, so that a refusal is thrown here. `begin` gets the signal that {@link close} fires. */
  static async open<T>(
    begin: (signal: AbortSignal) => AsyncIterable<T> | Promise<AsyncIterable<T>>,
    signal?: AbortSignal,
  ): Promise<EventStream<T>> {
    const ends = new AbortController();
    const source = await begin(signal === undefined ? ends.signal : AbortSignal.any([signal, ends.signal]));
    const stream = new EventStream(source[Symbol.asyncIterator](), ends);
    stream.#first = await stream.#source.next();
    return stream;
  }

  /** The next event; null after the last, and when the stream was closed. */
  async next(): Promise<T | null> {
    if (this.#closed) return null;
    const waiting = this.#first;
    this.#first = undefined;
    try {
      const next = waiting ?? (await this.#source.next());
      if (next.done !== true) return next.value;
    } catch (thrown) {
      if (!this.#closed) throw thrown;
    }
    this.#closed = true;
    return null;
  }

  /** Calls `handler` with every event. */
  async processAll(handler: (event: T) => void | Promise<void>): Promise<void> {
    for await (const event of this) await handler(event);
  }

  /** Ends it; a `next` that waits gets null. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ends.abort(new Error('the reader left'));
    // Ends a source that stands between two events; one that waits is ended by the signal.
    this.#source.return?.().then(undefined, () => undefined);
  }

  isClosed(): boolean {
    return this.#closed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (let event = await this.next(); event !== null; event = await this.next()) yield event;
    } finally {
      this.close();
    }
  }
}
