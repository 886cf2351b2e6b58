import { SylphError, type CheckpointId } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import { capture, exportJournals } from './capture.ts';

/** A snapshot to make sprites from; dispose it when they are made. */
export interface Origin extends AsyncDisposable {
  snapshot: Snapshot;
  checkpoint: CheckpointId | null;
}

/** The snapshot a fork starts from: a checkpoint, or the present, captured live when the sprite runs. */
export async function openOrigin(actor: SpriteActor, checkpoint: CheckpointId | undefined): Promise<Origin> {
  const { store, failpoints } = actor.deps;
  if (checkpoint !== undefined) {
    const row = await actor.deps.repository.checkpoint(actor.id, checkpoint);
    const snapshot = row && (await store.checkpoint(actor.id, checkpoint));
    if (!snapshot) throw new SylphError('checkpoint_not_found', `sprite ${actor.row.name} has no checkpoint ${checkpoint}`, { hint: 'GET …/checkpoints lists them.' });
    return { snapshot, checkpoint, [Symbol.asyncDispose]: async () => undefined };
  }
  await using undo = new AsyncDisposableStack();
  const draft = undo.use(await store.draftTransient());
  const { awake } = actor;
  if (awake) {
    const captured = await capture(actor, awake, draft, 'live');
    await exportJournals(actor, draft, captured.positions);
    const snapshot = await draft.commit(captured.manifest);
    await failpoints.hit('fork.captured');
    const kept = undo.move();
    return { snapshot, checkpoint: actor.row.currentCheckpoint, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }
  const rest = await store.rest(actor.id);
  if (!rest) throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to fork`);
  await store.fillFromSnapshot(draft, rest);
  const positions = (await actor.sessions()).positions().filter(({ id }) => rest.manifest.sessions.some((saved) => saved.id === id));
  await exportJournals(actor, draft, positions);
  const snapshot = await draft.commit({ ...rest.manifest, sessions: positions });
  const kept = undo.move();
  return { snapshot, checkpoint: actor.row.currentCheckpoint, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
