import { randomUUID } from 'node:crypto';
import type { CheckpointId, CreateSpriteRequest, SpriteId } from '@sylph/model';
import type { EngineDeps } from '../deps.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';

/** A sprite to be made: what was asked for, and whom it is made from. What the request leaves open comes from the parent. */
export interface NewSprite {
  org: OrgRow;
  name: string;
  request: Partial<CreateSpriteRequest>;
  parent: { row: SpriteRow; checkpoint: CheckpointId | null } | undefined;
}

/** Makes a sprite that rests on a copy of a snapshot. Files first, row last: a daemon that dies in between leaves files the sweep removes. On failure nothing is left. */
export async function createSprite(deps: EngineDeps, sprite: NewSprite, snapshot: Snapshot): Promise<SpriteRow> {
  const { store, repository, failpoints, options } = deps;
  const id: SpriteId = `sprite-${randomUUID()}`;
  try {
    await store.createSprite(id, snapshot);
    await failpoints.hit('create.before-row');
    const row = await repository.insertSprite(
      rowOf(id, sprite, snapshot, options.defaultIdleTimeoutS),
      options.uidBase + 1,
    );
    await failpoints.hit('create.after-row');
    return row;
  } catch (error) {
    await repository.removeSprite(id);
    await store.removeSprite(id);
    throw error;
  }
}

function rowOf(
  id: SpriteId,
  { org, name, request, parent }: NewSprite,
  { manifest }: Snapshot,
  defaultIdleTimeoutS: number,
): Omit<SpriteRow, 'uid'> {
  const now = new Date().toISOString();
  return {
    id,
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
