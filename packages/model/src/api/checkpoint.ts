import * as z from 'zod';

/** `POST …/checkpoint`. The body may be missing altogether. */
export const createCheckpointRequest = z
  .strictObject({ comment: z.string().max(4096).optional() })
  .meta({ id: 'CreateCheckpointRequest' });

/** `POST …/checkpoints/{id}/restore`. `memory` (default): processes are back where they were. `disk`: boots the disk afresh. */
export const restoreRequest = z
  .strictObject({ mode: z.enum(['memory', 'disk']).optional() })
  .meta({ id: 'RestoreRequest' });

/** A checkpoint as the API lists it; the newest list entry is `Current`, the present. */
export const checkpoint = z
  .strictObject({
    id: z.string(),
    create_time: z.iso.datetime(),
    comment: z.string(),
    history: z.array(z.string()).meta({ description: 'Ancestors, nearest first' }),
    is_auto: z.boolean(),
    source_id: z.string().nullable().meta({ description: 'Checkpoint the sprite stood on when this one was made' }),
    health: z.enum(['', 'damaged']).meta({ description: 'Empty: all is well' }),
    kind: z.enum(['memory', 'disk']),
    size_bytes: z
      .int()
      .meta({ description: 'Allocated bytes of its files; blocks shared with other checkpoints count in each' }),
  })
  .meta({ id: 'Checkpoint' });
export type Checkpoint = z.output<typeof checkpoint>;

/** Query of `GET …/checkpoints`. `history`: only that checkpoint and what descends from it. */
export const listCheckpointsQuery = z.object({
  history: z.string().max(64).optional(),
  includeAuto: z.stringbool().optional(),
});

/** A line of the create and restore streams (NDJSON). The last one is `complete` or `error`. */
export const streamLine = z
  .strictObject({
    type: z.enum(['info', 'stdout', 'stderr', 'error', 'complete']),
    data: z.string().optional(),
    error: z.string().optional(),
    code: z.string().optional(),
    hint: z.string().optional(),
    time: z.iso.datetime(),
  })
  .meta({ id: 'StreamLine' });
export type StreamLine = z.output<typeof streamLine>;
