import { SylphError, type CheckpointId, type SpriteState } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { Progress } from '../service.ts';
import { pruneAutomatic, readableCheckpoint, saveAsCheckpoint } from './checkpoint.ts';
import { climb, serve, startSprite, type Started } from './start.ts';
import { restOf } from './settle.ts';
import { suspendSprite } from './suspend.ts';

/**
 * Goes to a checkpoint. The present is put to sleep and saved as an automatic checkpoint first; it stays what the sprite rests on until the checkpoint's agent has answered.
 * If the checkpoint does not start, the present is back and the error says both. Resolves with the checkpoint of the present; undefined when there was none that could be read.
 */
export async function restoreSprite(
  actor: SpriteActor,
  id: CheckpointId,
  options: { mode: 'memory' | 'disk' },
  progress: Progress,
): Promise<CheckpointId | undefined> {
  const { store, failpoints } = actor.deps;
  const target = await readableCheckpoint(actor, id, options.mode);
  const memory = options.mode === 'memory' && target.manifest.kind === 'memory';
  const cameFrom = actor.state;
  const present = await presentAtRest(actor);
  let saved: CheckpointId | undefined;
  let started: Started;
  try {
    if (present) saved = (await saveAsCheckpoint(actor, present, { comment: `before restoring ${id}`, auto: true })).id;
    if (saved) progress(`Saved the present as ${saved}`);
    await failpoints.hit('restore.present-saved');
    started = await climb(actor, [{ how: memory ? 'memory' : 'disk', snapshot: target, memory, checkpoint: id }]);
  } catch (error) {
    throw await comeBack(actor, id, cameFrom, error);
  }
  await serve(actor, started, (sessions) =>
    sessions.replaceFrom(memory ? store.journals(target) : undefined, `the sprite was restored to ${id}`),
  );
  await failpoints.hit('restore.answered');
  // Only now: the checkpoint restored may have been the oldest automatic one.
  await pruneAutomatic(actor);
  return saved;
}

/** What the sprite is now, at rest. A present that cannot be read is what a person restores to get away from. */
async function presentAtRest(actor: SpriteActor): Promise<Snapshot | undefined> {
  if (actor.awake) return suspendSprite(actor, { then: 'restoring' });
  actor.transition('restoring');
  const rest = await restOf(actor);
  if (!(rest instanceof SylphError)) return rest;
  actor.log.error({ err: rest }, 'the present cannot be read, so it is not saved');
  return undefined;
}

/** The checkpoint did not start: the sprite is as before. Resolves with what to tell. */
async function comeBack(
  actor: SpriteActor,
  id: CheckpointId,
  cameFrom: SpriteState,
  cause: unknown,
): Promise<SylphError> {
  const why = `checkpoint ${id} could not be restored: ${SylphError.from(cause).message}`;
  const code = SylphError.from(cause).code === 'pool_full' ? 'pool_full' : 'vm_failed';
  if (cameFrom === 'running') {
    try {
      await startSprite(actor);
    } catch (error) {
      return new SylphError(
        'sprite_failed',
        `${why}. The present could not be started again either: ${SylphError.from(error).message}`,
        { cause: error },
      );
    }
    return new SylphError(code, `${why}. The sprite is back where it was`, { cause });
  }
  const rest = cameFrom === 'failed' ? undefined : await actor.deps.store.rest(actor.id);
  await actor.update({ lastState: rest ? rest.manifest.kind : 'failed', reason: why });
  actor.transition(rest ? 'asleep' : 'failed');
  return new SylphError(code, `${why}. The sprite is back where it was`, { cause });
}
