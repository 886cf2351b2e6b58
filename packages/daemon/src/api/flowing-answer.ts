import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import type { Place } from './live.ts';

/** A streamed answer that goes as fast as its client reads: a slow one holds back who writes, and nothing piles up. */
export class FlowingAnswer {
  readonly #reply: FastifyReply;
  #quiet: NodeJS.Timeout | undefined;

  constructor(reply: FastifyReply, place: Place, headers: Record<string, string>, status = 200) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.writeHead(status, {
      ...(reply.getHeaders() as Record<string, string>),
      'cache-control': 'no-store',
      ...headers,
    });
    reply.raw.flushHeaders();
    place.use({ close: async () => void reply.raw.destroy() });
  }

  /** Resolves when more may be written. Rejects with the reason of `gone` when the client leaves. */
  async write(bytes: Uint8Array | string, gone: AbortSignal): Promise<void> {
    gone.throwIfAborted();
    this.#quiet?.refresh();
    if (!this.#reply.raw.write(bytes)) await once(this.#reply.raw, 'drain', { signal: gone });
  }

  /** Writes `text` whenever nothing was for `ms`, until it is disposed of. Not for a client that does not read. */
  beat(text: string, ms: number): Disposable {
    this.#quiet = setInterval(() => {
      if (!this.#reply.raw.writableNeedDrain) this.#reply.raw.write(text);
    }, ms);
    return { [Symbol.dispose]: () => clearInterval(this.#quiet) };
  }

  end(): void {
    this.#reply.raw.end();
  }

  /** The client sees that this is no end. */
  cut(): void {
    this.#reply.raw.destroy();
  }
}
