import { randomUUID } from 'node:crypto';
import type { CheckpointId, CreateSpriteRequest, SpriteId } from '@sylph/model';
import type { EngineDeps } from '../deps.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';

/** A sprite to be made: what was asked for, and whom it is made from. What the request leaves open comes from the parent. */
export interface NewSprite {
  name: string;
  request: Partial<CreateSpriteRequest>;
  parent: { row: SpriteRow; checkpoint: CheckpointId | null } | undefined;
}

/**
 * Makes sprites of one organization that rest on copies of one snapshot: all or none. The files of all first, then all rows at once: a daemon that dies before leaves files the sweep removes, one that dies after has made them all.
 * On failure nothing is left.
 */
export async function createSprites(
  deps: EngineDeps,
  org: OrgRow,
  sprites: readonly NewSprite[],
  snapshot: Snapshot,
): Promise<SpriteRow[]> {
  const { store, repository, failpoints, options } = deps;
  const wanted = sprites.map((sprite) => rowOf(org, sprite, snapshot, options.defaultIdleTimeoutS));
  try {
    for (const row of wanted) {
      await store.createSprite(row.id, snapshot);
      if (row.parentSpriteId !== null) await failpoints.hit('fork.one-created');
    }
    await failpoints.hit('create.before-row');
    const rows = await repository.insertSprites(wanted, options.uidBase + 1);
    await failpoints.hit('create.after-row');
    return rows;
  } catch (error) {
    for (const { id } of wanted) await undo(deps, id);
    throw error;
  }
}

async function undo({ store, repository, log }: EngineDeps, id: SpriteId): Promise<void> {
  try {
    await repository.removeSprite(id);
    await store.removeSprite(id);
  } catch (error) {
    // The caller hears why the creation failed; files without a row are removed at the next start.
    log.error({ err: error, sprite: id }, 'what a failed creation left could not be removed');
  }
}

function rowOf(
  org: OrgRow,
  { name, request, parent }: NewSprite,
  { manifest }: Snapshot,
  defaultIdleTimeoutS: number,
): Omit<SpriteRow, 'uid'> {
  const now = new Date().toISOString();
  return {
    id: `sprite-${randomUUID()}`,
    orgId: org.id,
    name,
    createdAt: now,
    updatedAt: now,
    labels: request.labels ?? parent?.row.labels ?? [],
    urlAuth: request.url_settings?.auth ?? 'sprite',
    privateAccess: request.url_settings?.private_access ?? 'org_users',
    environment: request.environment ?? parent?.row.environment ?? {},
    shape: manifest.shape,
    idleTimeoutS: request.idle_timeout_s ?? parent?.row.idleTimeoutS ?? defaultIdleTimeoutS,
    imageName: manifest.image.name,
    imageDigest: manifest.image.digest,
    parentSpriteId: parent?.row.id ?? null,
    parentCheckpoint: parent?.checkpoint ?? null,
    currentCheckpoint: null,
    nextCheckpoint: 0,
    // Sessions alive in the snapshot live on under their numbers.
    nextSession: 1 + Math.max(0, ...manifest.sessions.map((session) => Number(session.id))),
    lastState: parent ? manifest.kind : 'new',
    reason: null,
    lastRunningAt: null,
    lastWarmingAt: null,
    lastStart: null,
  };
}
