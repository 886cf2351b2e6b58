import { randomBytes } from 'node:crypto';
import { SylphError, type CheckpointId } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { CheckpointRow } from '../interfaces/repository.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import { capture, copyRest, exportJournals } from './capture.ts';

/** Checkpoints the present: a running sprite live, a sleeping one from what it rests on, without waking it. Acknowledge only what this returns. */
export async function checkpointSprite(actor: SpriteActor, options: { comment: string }): Promise<CheckpointRow> {
  const id: CheckpointId = `v${await actor.deps.repository.takeCounter(actor.id, 'nextCheckpoint')}`;
  const { awake } = actor;
  if (awake === undefined) {
    const rest = await actor.deps.store.rest(actor.id);
    if (!rest) throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to checkpoint`);
    return saveAsCheckpoint(actor, rest, { comment: options.comment, auto: false, id });
  }
  const { store, failpoints } = actor.deps;
  await using draft = await store.draftCheckpoint(actor.id, id);
  const captured = await capture(actor, awake, draft, 'live');
  await failpoints.hit('checkpoint.captured');
  await exportJournals(actor, draft, captured.positions);
  const snapshot = await draft.commit(captured.manifest);
  return await record(actor, id, snapshot, { comment: options.comment, auto: false });
}

/** Makes a checkpoint of what the sprite rests on. */
export async function saveAsCheckpoint(
  actor: SpriteActor,
  rest: Snapshot,
  options: { comment: string; auto: boolean; id?: CheckpointId },
): Promise<CheckpointRow> {
  const id = options.id ?? automaticId();
  await using draft = await actor.deps.store.draftCheckpoint(actor.id, id);
  return await record(actor, id, await copyRest(actor, draft, rest), options);
}

/** Writes the row of a published checkpoint. On failure the checkpoint is gone. */
async function record(
  actor: SpriteActor,
  id: CheckpointId,
  snapshot: Snapshot,
  options: { comment: string; auto: boolean },
): Promise<CheckpointRow> {
  const { repository, store, failpoints } = actor.deps;
  try {
    await failpoints.hit('checkpoint.published');
    const row: CheckpointRow = {
      spriteId: actor.id,
      id,
      createdAt: snapshot.manifest.createdAt,
      comment: options.comment,
      isAuto: options.auto,
      parent: actor.row.currentCheckpoint,
      kind: snapshot.manifest.kind,
      sizeBytes: await store.allocatedBytes(snapshot),
      damaged: false,
    };
    await repository.insertCheckpoint(row);
    await failpoints.hit('checkpoint.row-written');
    if (!options.auto) await actor.update({ currentCheckpoint: id });
    return row;
  } catch (error) {
    await removeCheckpoint(actor, id);
    throw error;
  }
}

/** A checkpoint that can be restored in a mode: it exists and, as far as that can be told, is whole. One that is not is marked. */
export async function readableCheckpoint(
  actor: SpriteActor,
  id: CheckpointId,
  mode: 'memory' | 'disk',
): Promise<Snapshot> {
  const { store, repository } = actor.deps;
  const row = await repository.checkpoint(actor.id, id);
  const snapshot = row && (await store.checkpoint(actor.id, id).catch((error: unknown) => SylphError.from(error)));
  if (snapshot === undefined)
    throw new SylphError('checkpoint_not_found', `sprite ${actor.row.name} has no checkpoint ${id}`, {
      hint: 'GET …/checkpoints?includeAuto=true lists them.',
    });
  const damage =
    snapshot instanceof SylphError
      ? snapshot.message
      : await store.damage(mode === 'memory' ? snapshot : asDisk(snapshot));
  if (damage === undefined) return snapshot as Snapshot;
  await repository.updateCheckpoint(actor.id, id, { damaged: true });
  throw new SylphError('vm_failed', `checkpoint ${id} is damaged: ${damage}`, {
    hint: 'The sprite is as it was. Choose another checkpoint.',
  });
}

/** A snapshot as one who only wants its disk sees it. */
export function asDisk({ path, manifest }: Snapshot): Snapshot {
  return { path, manifest: { ...manifest, kind: 'disk' } };
}

/** Removes automatic checkpoints beyond the number kept, oldest first. The one the present descends from stays. Never rejects: the next time removes what this one could not. */
export async function pruneAutomatic(actor: SpriteActor): Promise<void> {
  const { repository, options } = actor.deps;
  try {
    const automatic = (await repository.checkpoints(actor.id)).filter(
      (row) => row.isAuto && row.id !== actor.row.currentCheckpoint,
    );
    for (const row of automatic.slice(options.autoCheckpoints)) await removeCheckpoint(actor, row.id);
  } catch (error) {
    actor.log.error({ err: error }, 'automatic checkpoints could not be pruned');
  }
}

/** Row first, then files: a daemon that dies in between leaves files the sweep removes. */
export async function removeCheckpoint(actor: SpriteActor, id: CheckpointId): Promise<void> {
  await actor.deps.repository.removeCheckpoint(actor.id, id);
  await actor.deps.store.removeCheckpoint(actor.id, id);
}

function automaticId(): CheckpointId {
  const [day, time] = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').split('T');
  return `auto-${day}-${time}-${randomBytes(2).toString('hex')}`;
}
