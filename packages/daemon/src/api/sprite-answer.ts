import type { SpriteView } from '@sylph/engine';
import { spriteName, SylphError, type Sprite } from '@sylph/model';
import type { ResolvedDeps } from './deps.ts';

/** A sprite as the API shows it. */
export function spriteAnswer(
  { row, org, state, status, agentVersion }: SpriteView,
  { spriteUrl }: Pick<ResolvedDeps, 'spriteUrl'>,
): Sprite {
  return {
    id: row.id,
    name: row.name,
    organization: org.slug,
    org_slug: org.slug,
    url: spriteUrl(row.name, org.urlSuffix),
    url_settings: { auth: row.urlAuth, private_access: row.privateAccess },
    status,
    state,
    reason: row.reason,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    last_running_at: row.lastRunningAt,
    last_warming_at: row.lastWarmingAt,
    version: agentVersion,
    environment_version: agentVersion,
    labels: row.labels,
    config: { cpus: row.shape.cpus, ram_mb: row.shape.ramMib, storage_gb: row.shape.storageGb },
    environment: row.environment,
    idle_timeout_s: row.idleTimeoutS,
    image: row.imageName,
    parent: row.parentSpriteId === null ? null : { sprite_id: row.parentSpriteId, checkpoint: row.parentCheckpoint },
    last_start: row.lastStart,
  };
}

/** The name in a path. One outside the grammar cannot belong to a sprite. */
export function nameInPath(text: string): string {
  if (!spriteName.safeParse(text).success)
    throw new SylphError('sprite_not_found', 'sprite not found', { hint: 'List what there is with GET /v1/sprites.' });
  return text;
}
