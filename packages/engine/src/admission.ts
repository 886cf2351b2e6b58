import { SylphError } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { ActorRegistry } from './actor/registry.ts';
import type { EngineOptions } from './deps.ts';

/** Decides whether one more sprite may run. */
export class Admission {
  readonly #actors: ActorRegistry;
  readonly #maxAwake: number;
  /** Sprites with a command under way that makes them run. */
  readonly #starting = new Set<SpriteActor>();
  #closing = false;

  constructor(actors: ActorRegistry, options: Pick<EngineOptions, 'maxAwake'>) {
    this.#actors = actors;
    this.#maxAwake = options.maxAwake;
  }

  /** Lets nobody in any more. */
  close(): void {
    this.#closing = true;
  }

  /** Does what makes a sprite run, if it may. Throws `shutting_down`, or `too_many_sprites` with `limit` and `currentCount` as its context. */
  async run<T>(actor: SpriteActor, work: () => Promise<T>): Promise<T> {
    if (this.#closing)
      throw new SylphError('shutting_down', 'the daemon is shutting down', { hint: 'Try again in a moment.' });
    if (this.#maxAwake > 0 && !actor.awake) {
      const others = this.#others(actor);
      if (others >= this.#maxAwake)
        throw new SylphError('too_many_sprites', `${this.#maxAwake} sprites are awake, as many as this host allows`, {
          context: { limit: this.#maxAwake, currentCount: others },
        });
    }
    this.#starting.add(actor);
    try {
      return await work();
    } finally {
      this.#starting.delete(actor);
    }
  }

  /** Looked at only on hosts with a limit, and when a sprite is about to start. */
  #others(actor: SpriteActor): number {
    return this.#actors.all().filter((other) => other !== actor && (other.awake || this.#starting.has(other))).length;
  }
}
