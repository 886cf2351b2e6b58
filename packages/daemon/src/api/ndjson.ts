import type { FastifyReply } from 'fastify';
import type { Place } from './live.ts';

/**
 * A stream of JSON lines as an answer. Headers are sent at once, so that the client knows it was heard. A client that goes away does not stop the work it asked for: its lines are dropped.
 * Lines are few and short; a client that does not read them is cut off once 1 MiB waits.
 */
export class NdjsonStream<Line extends object> {
  static readonly #maxUnsentBytes = 1024 * 1024;
  readonly #reply: FastifyReply;
  readonly #gone = new AbortController();

  constructor(reply: FastifyReply, place: Place) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
    });
    reply.raw.flushHeaders();
    place.use({ close: async () => void reply.raw.destroy() });
    const leave = (): void => this.#gone.abort();
    // A client that has gone already: its `close` is past.
    if (reply.raw.destroyed) leave();
    else reply.raw.once('close', leave);
  }

  /** Fires when the client is gone or the stream has ended. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  write(line: Line): void {
    if (this.gone.aborted) return;
    this.#reply.raw.write(`${JSON.stringify(line)}\n`);
    if (this.#reply.raw.writableLength > NdjsonStream.#maxUnsentBytes) this.#reply.raw.destroy();
  }

  end(): void {
    this.#reply.raw.end();
  }
}
