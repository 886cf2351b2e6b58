import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import type { Place } from './live.ts';

/** A streamed answer that goes as fast as its client reads: a slow one holds back who writes, and nothing piles up. */
export class FlowingAnswer {
  readonly #reply: FastifyReply;

  constructor(reply: FastifyReply, place: Place, headers: Record<string, string>) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.writeHead(200, {
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
    if (!this.#reply.raw.write(bytes)) await once(this.#reply.raw, 'drain', { signal: gone });
  }

  end(): void {
    this.#reply.raw.end();
  }

  /** The client sees that this is no end. */
  cut(): void {
    this.#reply.raw.destroy();
  }
}
