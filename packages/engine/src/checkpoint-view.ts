import type { Checkpoint } from '@sylph/model';
import type { CheckpointRow } from './interfaces/repository.ts';

/** Ancestors told of one checkpoint. */
const maxHistory = 100;

/** A checkpoint as the API shows it; `all` are the sprite's. */
export function checkpointView(row: CheckpointRow, all: readonly CheckpointRow[]): Checkpoint {
  const byId = new Map(all.map((checkpoint) => [checkpoint.id, checkpoint]));
  const history: string[] = [];
  for (
    let parent = row.parent;
    parent !== null && history.length < maxHistory;
    parent = byId.get(parent)?.parent ?? null
  )
    history.push(parent);
  return {
    id: row.id,
    create_time: row.createdAt,
    comment: row.comment,
    history,
    is_auto: row.isAuto,
    source_id: row.parent,
    health: row.damaged ? 'damaged' : '',
    kind: row.kind,
    size_bytes: row.sizeBytes,
  };
}
