import type { SpriteId } from '@sylph/model';
import type { EngineDeps } from './deps.ts';

/** Targets remembered of one sprite. */
const keep = 1_000;
/** What was denied to sprites that are awake is written down so often. */
const intervalMs = 60_000;

/** Sprites that are awake, or that somebody has in hand. */
export interface SpritesInHand {
  all(): readonly { readonly id: SpriteId; readonly awake: object | undefined }[];
}

/** Writes down what the network denied to sprites. What a daemon that dies has not written down yet is lost: it is for people to look at, and nothing hangs on it. */
export class DenialRecorder {
  readonly #deps: EngineDeps;
  readonly #actors: SpritesInHand;
  /** Writing under way that nobody waits for. */
  readonly #pending = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(deps: EngineDeps, actors: SpritesInHand) {
    this.#deps = deps;
    this.#actors = actors;
  }

  /** Begins to look at sprites that are awake, every minute until {@link close}. */
  open(): void {
    this.#timer = setInterval(() => void this.takeAll(), intervalMs).unref();
  }

  /** Writes down what is new of one sprite. */
  async take(spriteId: SpriteId): Promise<void> {
    const denials = await this.#deps.network.takeDenials(spriteId);
    if (denials.length > 0) await this.#deps.repository.policies.addDenials(spriteId, denials, keep);
  }

  /** The same, while the caller goes on. A failure is logged. */
  soon(spriteId: SpriteId): void {
    const taking = this.#take(spriteId).finally(() => this.#pending.delete(taking));
    this.#pending.add(taking);
  }

  /** The same of all that are awake, one after the other. Never rejects. */
  takeAll(): Promise<void> {
    this.#round ??= this.#takeAll().finally(() => (this.#round = undefined));
    return this.#round;
  }

  /** Ends looking; resolves when what is under way is written down. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
  }

  async #takeAll(): Promise<void> {
    for (const { id, awake } of this.#actors.all()) if (awake) await this.#take(id);
  }

  async #take(spriteId: SpriteId): Promise<void> {
    try {
      await this.take(spriteId);
    } catch (error) {
      // Of a sprite that was deleted meanwhile there is nothing to write down.
      if (await this.#exists(spriteId))
        this.#deps.log.warn({ err: error, spriteId }, 'what was denied to a sprite could not be written down');
    }
  }

  async #exists(spriteId: SpriteId): Promise<boolean> {
    return this.#deps.repository.sprite(spriteId).then(
      (row) => row !== undefined,
      () => true,
    );
  }
}
