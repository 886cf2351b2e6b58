import type { Target } from './guest-pool.ts';

/** Sprites remembered: each is a name and two short values. */
const maxTargets = 10_000;

/** Where the URLs of sprites led when they were awake last: tried first after a wake. The sprites used last are kept. */
export class LastTargets {
  readonly #targets = new Map<string, Target>();

  get(spriteId: string): Target | undefined {
    return this.#targets.get(spriteId);
  }

  set(spriteId: string, target: Target | undefined): void {
    this.#targets.delete(spriteId);
    if (target === undefined) return;
    if (this.#targets.size >= maxTargets) this.#targets.delete(this.#targets.keys().next().value as string);
    this.#targets.set(spriteId, target);
  }
}
