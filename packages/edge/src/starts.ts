import type { SpriteLease, SpriteView } from '@sylph/engine';
import type { ResolvedEdgeDeps } from './deps.ts';
import { EdgeFailure } from './failure.ts';

/** Wakes sprites for requests. Of strangers' requests only so many sprites start at once: others are told to come again. */
export class Starts {
  readonly #deps: ResolvedEdgeDeps;
  /** Requests of strangers that wait, by sprite. */
  readonly #strangers = new Map<string, number>();

  constructor(deps: ResolvedEdgeDeps) {
    this.#deps = deps;
  }

  /** A lease that only its use keeps alive. Rejects with an `EdgeFailure`, or the reason of `signal`. */
  async use(view: SpriteView, { known, signal }: { known: boolean; signal: AbortSignal }): Promise<SpriteLease> {
    // Awake, it is there at once; the engine bounds what it does in the moment of going to sleep.
    if (view.state === 'running') return this.#deps.service.use(view.org, view.row.name, { connection: true, signal });
    if (known) return this.#use(view, signal);
    const { id } = view.row;
    const waiting = this.#strangers.get(id) ?? 0;
    if (waiting === 0 && this.#strangers.size >= this.#deps.limits.maxAnonymousStarts)
      throw new EdgeFailure('too_many_sprites', 'many sprites are being started just now', {
        status: 503,
        retryAfterS: 3,
        hint: 'Try again in a moment.',
      });
    this.#strangers.set(id, waiting + 1);
    try {
      return await this.#use(view, signal);
    } finally {
      const left = (this.#strangers.get(id) ?? 1) - 1;
      if (left === 0) this.#strangers.delete(id);
      else this.#strangers.set(id, left);
    }
  }

  async #use({ org, row }: SpriteView, signal: AbortSignal): Promise<SpriteLease> {
    const { startTimeoutMs } = this.#deps.limits;
    const ends = new AbortController();
    const leave = (): void => ends.abort(signal.reason);
    const timer = setTimeout(
      () =>
        ends.abort(
          new EdgeFailure('timeout', `the sprite did not start within ${startTimeoutMs / 1000} s`, {
            status: 503,
            retryAfterS: 10,
          }),
        ),
      startTimeoutMs,
    );
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await this.#deps.service.use(org, row.name, { connection: true, signal: ends.signal });
    } catch (error) {
      if (ends.signal.aborted) throw ends.signal.reason;
      throw EdgeFailure.of(error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    }
  }
}
