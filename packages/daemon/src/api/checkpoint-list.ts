import type { OrgRow, SpriteService, SpriteView } from '@sylph/engine';
import { checkpointId, type Checkpoint, type CheckpointId, type listCheckpointsQuery, SylphError } from '@sylph/model';
import type * as z from 'zod';
import { shortened } from './shortened.ts';

/** Id of the list entry that stands for the present. */
export const currentId = 'Current';

/**
 * A sprite's checkpoints, newest first, below an entry for the present. With `history`: that checkpoint and what descends from it. Those the daemon made itself only with
 * `includeAuto`. Throws `checkpoint_not_found` for an unknown `history`.
 */
export async function listedCheckpoints(
  service: SpriteService,
  org: OrgRow,
  name: string,
  { history, includeAuto = false }: z.output<typeof listCheckpointsQuery>,
): Promise<Checkpoint[]> {
  const [view, made] = await Promise.all([service.get(org, name), service.checkpoints(org, name)]);
  const all = [presentOf(view, made), ...made].filter((each) => includeAuto || !each.is_auto);
  if (history === undefined) return all;
  if (!made.some((each) => each.id === history)) throw unknownCheckpoint(history);
  return all.filter((each) => each.id === history || each.history.includes(history));
}

/** One of them, by the id in a path; {@link currentId} is the present. Throws `checkpoint_not_found`. */
export async function foundCheckpoint(
  service: SpriteService,
  org: OrgRow,
  name: string,
  id: string,
): Promise<Checkpoint> {
  if (id !== currentId) return service.getCheckpoint(org, name, idInPath(id));
  const [view, made] = await Promise.all([service.get(org, name), service.checkpoints(org, name)]);
  return presentOf(view, made);
}

/** The lines scripts look for once a checkpoint is made: they find the new id in `  ID: vN`. */
export function createdLines({ id, create_time: createTime }: Checkpoint): string[] {
  return [
    'Checkpoint created successfully',
    '\nCheckpoint Details:',
    `  ID: ${id}`,
    `  Created: ${createTime.slice(0, 19).replace('T', ' ')}`,
    `  Path: checkpoints/${id}`,
    '\nTo restore this checkpoint:',
    `  sprite checkpoint restore ${id}`,
    `  curl -X POST /checkpoints/${id}/restore`,
  ];
}

/** The id in a path. Throws `checkpoint_not_found` for one outside the grammar, which cannot belong to a checkpoint. */
export function idInPath(text: string): CheckpointId {
  const parsed = checkpointId.safeParse(text);
  if (!parsed.success) throw unknownCheckpoint(text);
  return parsed.data;
}

/** The present as an entry of the list. */
function presentOf({ row, status }: SpriteView, made: readonly Checkpoint[]): Checkpoint {
  const source = made.find((each) => each.id === row.currentCheckpoint);
  return {
    id: currentId,
    create_time: new Date().toISOString(),
    comment: '',
    history: source === undefined ? [] : [source.id, ...source.history],
    is_auto: false,
    source_id: row.currentCheckpoint,
    health: '',
    kind: status === 'cold' ? 'disk' : 'memory',
    size_bytes: 0,
  };
}

function unknownCheckpoint(id: string): SylphError {
  return new SylphError('checkpoint_not_found', `checkpoint not found: ${shortened(id)}`, {
    hint: 'List what there is with GET …/checkpoints?includeAuto=true.',
  });
}
