import type { OutputChunk } from '@sylph/client';
import { openUrl } from './open-url.ts';
import { parseRequest } from './request.ts';
import { RequestFilter } from './request-filter.ts';

/** A browser is not opened sooner than so long after the last time: what asks is not trusted. */
const openPauseMs = 2_000;

/** How requests to open an address are met. */
export interface BrowserOptions {
  /** Whether the person wants addresses to be opened, not only shown. */
  opens: boolean;
  /** Shows a line of our own. */
  remark: (text: string) => void;
  /** Makes ports of the sprite reachable here; undefined when that is not wanted. */
  forward: ((ports: readonly number[]) => Promise<void>) | undefined;
}

/** Meets the requests of programs in a sprite to open an address in the browser here: they are taken out of the output, shown on lines of their own, and opened where the person wants that. */
export class BrowserWatch {
  readonly #options: BrowserOptions;
  #openedAt = -Infinity;

  constructor(options: BrowserOptions) {
    this.#options = options;
  }

  /** Output of a terminal without requests, which are met. */
  async *filter(output: AsyncIterable<OutputChunk>): AsyncGenerator<OutputChunk, void, undefined> {
    const filter = new RequestFilter((text) => this.#meet(text));
    for await (const { stream, bytes } of output) {
      const shown = filter.read(bytes);
      if (shown.length > 0) yield { stream, bytes: shown };
    }
    const rest = filter.end();
    if (rest.length > 0) yield { stream: 'stdout', bytes: rest };
  }

  #meet(text: string): void {
    const { opens, remark, forward } = this.#options;
    const request = parseRequest(text);
    if (request === undefined) return remark('sylph: the sprite asks to open something that is no web address');
    remark(`sylph: the sprite asks to open ${request.url}`);
    const forwarded = forward !== undefined && request.ports.length > 0 ? forward(request.ports) : Promise.resolve();
    if (!opens) return void forwarded;
    if (performance.now() - this.#openedAt < openPauseMs)
      return remark('sylph: it is not opened: another was just now');
    this.#openedAt = performance.now();
    // The page may need the ports at once.
    forwarded
      .then(() => openUrl(request.url))
      .catch((thrown: unknown) => remark(`sylph: it cannot be opened: ${String(thrown)}`));
  }
}
