import type { Repository } from '@sylph/engine';
import type { Logger } from 'pino';
import { isTokenValid } from '../auth/tokens.ts';
import type { LiveSet } from './live.ts';

/** Ends what clients have open once their token is revoked or has expired, at most `intervalMs` and one look later. Asks once per token, however much is open with it. Dispose it. */
export class TokenWatch implements Disposable {
  readonly #live: LiveSet;
  readonly #repository: Repository;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #timer: NodeJS.Timeout;
  #looking = false;
  #over = false;

  constructor(
    live: LiveSet,
    repository: Repository,
    { log, intervalMs }: { log: Pick<Logger, 'info' | 'warn'>; intervalMs: number },
  ) {
    this.#live = live;
    this.#repository = repository;
    this.#log = log;
    this.#timer = setInterval(() => void this.#look(), intervalMs).unref();
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearInterval(this.#timer);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const tokenId of this.#live.tokenIds()) {
        const valid = await isTokenValid(this.#repository, tokenId);
        if (this.#over) return;
        if (valid) continue;
        const ended = this.#live.expel(tokenId);
        this.#log.info({ tokenId, ended }, 'a token is no longer valid; what was open with it is ended');
      }
    } catch (error) {
      // Nothing is decided by it: the next look asks again.
      this.#log.warn({ err: error }, 'it cannot be told whether tokens are still valid');
    } finally {
      this.#looking = false;
    }
  }
}
