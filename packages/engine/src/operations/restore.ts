import { SylphError, type CheckpointId } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { Progress } from '../service.ts';
import { saveAsCheckpoint } from './checkpoint.ts';
import { startFrom, startSprite } from './start.ts';
import { suspendSprite } from './suspend.ts';

/**
 * Goes to a checkpoint. The present is put to sleep and saved as an automatic checkpoint first; it stays what the sprite rests on until the checkpoint's agent has answered.
 * If the checkpoint does not start, the present starts again and the error says both.
 */
export async function restoreSprite(actor: SpriteActor, id: CheckpointId, options: { mode: 'memory' | 'disk' }, progress: Progress): Promise<CheckpointId> {
  const { store, failpoints } = actor.deps;
  const target = await readable(actor, id);
  const cameFrom = actor.state;
  const present = await presentAtRest(actor);
  const saved = present && (await saveAsCheckpoint(actor, present, { comment: `before restoring ${id}`, auto: true }));
  if (saved) progress(`Saved the present as ${saved.id}`);
  await failpoints.hit('restore.present-saved');
  const memory = options.mode === 'memory' && target.manifest.kind === 'memory';
  const sessions = await actor.sessions();
  await sessions.replaceFrom(memory ? store.journals(target) : undefined, `the sprite was restored to ${id}`);
  try {
    await startFrom(actor, target, { memory, checkpoint: id });
    await failpoints.hit('restore.answered');
  } catch (error) {
    await comeBack(actor, saved?.id, cameFrom === 'running', error, id);
  }
  if (!saved) throw new SylphError('internal', 'a restore without a present to save');
  return saved.id;
}

async function readable(actor: SpriteActor, id: CheckpointId): Promise<Snapshot> {
  const { store, repository } = actor.deps;
  const row = await repository.checkpoint(actor.id, id);
  const snapshot = row && (await store.checkpoint(actor.id, id));
  if (!snapshot) throw new SylphError('checkpoint_not_found', `sprite ${actor.row.name} has no checkpoint ${id}`, { hint: 'GET …/checkpoints?includeAuto=true lists them.' });
  const damage = await store.damage(snapshot);
  if (damage === undefined) return snapshot;
  await repository.updateCheckpoint(actor.id, id, { damaged: true });
  throw new SylphError('vm_failed', `checkpoint ${id} is damaged: ${damage}`, { hint: 'The sprite is as it was. Choose another checkpoint.' });
}

async function presentAtRest(actor: SpriteActor): Promise<Snapshot | undefined> {
  if (actor.awake) return suspendSprite(actor, { reason: null, then: 'restoring' });
  actor.transition('restoring');
  return actor.deps.store.rest(actor.id);
}

async function comeBack(actor: SpriteActor, savedAs: CheckpointId | undefined, wasRunning: boolean, cause: unknown, id: CheckpointId): Promise<never> {
  const why = SylphError.from(cause).message;
  const saved = savedAs && (await actor.deps.store.checkpoint(actor.id, savedAs));
  await (await actor.sessions()).replaceFrom(saved ? actor.deps.store.journals(saved) : undefined, `restoring ${id} failed`);
  if (wasRunning) await startSprite(actor);
  else {
    const rest = await actor.deps.store.rest(actor.id);
    actor.transition(rest ? 'asleep' : 'failed');
    await actor.update({ lastState: rest ? rest.manifest.kind : 'failed', reason: `restoring ${id} failed: ${why}` });
  }
  throw new SylphError('vm_failed', `checkpoint ${id} could not be restored: ${why}. The sprite is back where it was`, { cause });
}
