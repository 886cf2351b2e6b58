import { SylphError, type CheckpointId } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot, SnapshotDraft } from '../interfaces/pool-store.ts';
import { capture, copyRest, exportJournals } from './capture.ts';
import { readableCheckpoint } from './checkpoint.ts';

/** A snapshot to make sprites from; dispose it when they are made. */
export interface Origin extends AsyncDisposable {
  snapshot: Snapshot;
  checkpoint: CheckpointId | null;
}

/** The snapshot a fork starts from: a checkpoint, or the present, captured live when the sprite runs. */
export async function openOrigin(actor: SpriteActor, checkpoint: CheckpointId | undefined): Promise<Origin> {
  const { store, failpoints } = actor.deps;
  // As a whole: the new sprites start from its memory.
  if (checkpoint !== undefined)
    return {
      snapshot: await readableCheckpoint(actor, checkpoint, 'memory'),
      checkpoint,
      [Symbol.asyncDispose]: async () => undefined,
    };
  await using undo = new AsyncDisposableStack();
  const draft = undo.use(await store.draftTransient());
  const snapshot = await present(actor, draft);
  await failpoints.hit('fork.captured');
  const kept = undo.move();
  return { snapshot, checkpoint: actor.row.currentCheckpoint, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function present(actor: SpriteActor, draft: SnapshotDraft): Promise<Snapshot> {
  const { awake } = actor;
  if (awake) {
    const captured = await capture(actor, awake, draft, 'live');
    await exportJournals(actor, draft, captured.positions);
    return draft.commit(captured.manifest);
  }
  const rest = await actor.deps.store.rest(actor.id);
  if (!rest)
    throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to fork`, {
      hint: 'Fork one of its checkpoints.',
    });
  return copyRest(actor, draft, rest);
}
