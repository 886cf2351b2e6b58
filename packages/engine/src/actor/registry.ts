import type { SpriteId } from '@sylph/model';
import type { ChangeFeed } from '../changes.ts';
import type { DenialRecorder } from '../denials.ts';
import type { EngineDeps } from '../deps.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';
import { settleAfterFailure, settleLeftovers } from '../operations/settle.ts';
import { SpriteActor, type ActorHooks } from './actor.ts';

/** Actors of sprites that are awake or that somebody has in hand; at most one each. */
export class ActorRegistry {
  readonly #deps: EngineDeps;
  readonly #actors = new Map<SpriteId, SpriteActor>();
  readonly #hooks: ActorHooks;

  constructor(deps: EngineDeps, changes: ChangeFeed, denials: () => Pick<DenialRecorder, 'soon'>) {
    this.#deps = deps;
    this.#hooks = {
      beforeCommand: settleLeftovers,
      afterFailure: settleAfterFailure,
      onSettled: (actor) => this.#release(actor),
      afterDetach: (actor) => denials().soon(actor.id),
      onChange: ({ org, row }) => changes.tell(org.id, row.name),
    };
  }

  find(id: SpriteId): SpriteActor | undefined {
    return this.#actors.get(id);
  }

  all(): SpriteActor[] {
    return [...this.#actors.values()];
  }

  clear(): void {
    this.#actors.clear();
  }

  /** Works with the sprite's actor, which stays while the work goes on. Throws `sprite_not_found` when the sprite has been removed since the row was read. */
  async with<T>(row: SpriteRow, org: OrgRow, work: (actor: SpriteActor) => Promise<T>): Promise<T> {
    const actor = this.#actors.get(row.id) ?? new SpriteActor(this.#deps, row, org, this.#hooks);
    this.#actors.set(row.id, actor);
    actor.holds++;
    try {
      await actor.fresh();
      return await work(actor);
    } finally {
      actor.holds--;
      this.#release(actor);
    }
  }

  /** Holds a sprite awake, once it is, until the answer is called. */
  lease(actor: SpriteActor): () => void {
    let released = false;
    actor.leases++;
    return () => {
      if (released) return;
      released = true;
      actor.leases--;
      actor.lastUseAt = performance.now();
      actor.onActivity();
      this.#release(actor);
    };
  }

  /** Keeps a sprite's actor in hand, asleep or awake, until the answer is called. */
  hold(actor: SpriteActor): () => void {
    let released = false;
    actor.holds++;
    return () => {
      if (released) return;
      released = true;
      actor.holds--;
      this.#release(actor);
    };
  }

  /** Sleeping sprites are rows and files only: journals are closed in a turn of their own, then the actor goes, unless somebody came meanwhile. */
  #release(actor: SpriteActor): void {
    if (!actor.dispensable || this.#actors.get(actor.id) !== actor) return;
    if (actor.hasSessions)
      actor.background('closing journals', async () => (actor.held ? undefined : actor.closeSessions()));
    else this.#actors.delete(actor.id);
  }
}
