import { randomBytes } from 'node:crypto';
import { SylphError, type CheckpointId } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { CheckpointRow } from '../interfaces/repository.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { CaptureReport } from '../interfaces/vm-driver.ts';
import { capture, exportJournals } from './capture.ts';

/** Checkpoints the present: a running sprite live, a sleeping one from what it rests on, without waking it. Acknowledge only what this returns. */
export async function checkpointSprite(actor: SpriteActor, options: { comment: string }): Promise<{ row: CheckpointRow; report: CaptureReport | undefined }> {
  const id: CheckpointId = `v${await actor.deps.repository.takeCounter(actor.id, 'nextCheckpoint')}`;
  const { awake } = actor;
  if (awake === undefined) {
    const rest = await actor.deps.store.rest(actor.id);
    if (!rest) throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to checkpoint`);
    return { row: await saveAsCheckpoint(actor, rest, { comment: options.comment, auto: false, id }), report: undefined };
  }
  const { store, failpoints } = actor.deps;
  await using draft = await store.draftCheckpoint(actor.id, id);
  const captured = await capture(actor, awake, draft, 'live');
  await failpoints.hit('checkpoint.captured');
  await exportJournals(actor, draft, captured.positions);
  const snapshot = await draft.commit(captured.manifest);
  return { row: await record(actor, id, snapshot, { comment: options.comment, auto: false }), report: captured.report };
}

/** Makes a checkpoint of a snapshot: links and reflinks only. */
export async function saveAsCheckpoint(actor: SpriteActor, snapshot: Snapshot, options: { comment: string; auto: boolean; id?: CheckpointId }): Promise<CheckpointRow> {
  const { store } = actor.deps;
  const id = options.id ?? automaticId();
  await using draft = await store.draftCheckpoint(actor.id, id);
  await store.fillFromSnapshot(draft, snapshot);
  // What the sprite rests on has no journals of its own: they lie with the sprite.
  const positions = (await actor.sessions()).positions();
  const alive = positions.filter(({ id: session }) => snapshot.manifest.sessions.some((saved) => saved.id === session));
  await exportJournals(actor, draft, alive);
  const saved = await draft.commit({ ...snapshot.manifest, sessions: alive });
  const row = await record(actor, id, saved, options);
  if (options.auto) await pruneAutomatic(actor);
  return row;
}

async function record(actor: SpriteActor, id: CheckpointId, snapshot: Snapshot, options: { comment: string; auto: boolean }): Promise<CheckpointRow> {
  const { repository, store, failpoints } = actor.deps;
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
}

/** Removes automatic checkpoints beyond the number kept, oldest first. The one the present descends from stays. */
async function pruneAutomatic(actor: SpriteActor): Promise<void> {
  const { repository, options } = actor.deps;
  const automatic = (await repository.checkpoints(actor.id)).filter((row) => row.isAuto && row.id !== actor.row.currentCheckpoint);
  for (const row of automatic.slice(options.autoCheckpoints)) await removeCheckpoint(actor, row.id);
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
