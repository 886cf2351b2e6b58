import type { SpriteService, SpriteView } from '@sylph/engine';
import {
  checkpointId,
  createCheckpointRequest,
  restoreRequest,
  SylphError,
  type Checkpoint,
  type CheckpointId,
  type GuestCall,
  type StreamLine,
} from '@sylph/model';
import type { Logger } from 'pino';
import type * as z from 'zod';
import { logFailure } from '../api/failure-log.ts';
import { shownFailure } from '../api/shown-failure.ts';

/** What a guest's program is answered. */
export interface Answer {
  status: number;
  contentType: string;
  body: AsyncIterable<string>;
}

/** What answers are made of. */
export interface CallDeps {
  /** Asked for when a guest calls, for the engine is made with what answers. */
  service: () => SpriteService;
  spriteUrl: (name: string, orgSuffix: string) => string;
  version: string;
  log: Logger;
}

/** Answers a call of a program in a sprite about that sprite. Throws what is to be told instead. */
export async function answerCall(call: GuestCall, sprite: SpriteView, deps: CallDeps): Promise<Answer> {
  const { org, row } = sprite;
  const service = deps.service();
  const path = new URL(call.path, 'http://sprite').pathname;
  const [, id, action] = /^\/v1\/checkpoints\/([^/]+)(?:\/(restore))?$/.exec(path) ?? [];
  switch (
    `${call.method} ${id === undefined ? path : `/v1/checkpoints/{id}${action === undefined ? '' : '/restore'}`}`
  ) {
    case 'GET /info':
    case 'GET /v1/info':
      return json(200, {
        sprite_id: row.id,
        sprite_name: row.name,
        sprite_url: deps.spriteUrl(row.name, org.urlSuffix),
        version: deps.version,
        org: org.slug,
      });
    case 'GET /v1/checkpoints':
      return json(
        200,
        (await service.checkpoints(org, row.name)).filter((each) => !each.is_auto),
      );
    case 'GET /v1/checkpoints/{id}':
      return json(200, await service.getCheckpoint(org, row.name, idOf(id)));
    case 'POST /v1/checkpoint': {
      const { comment = '' } = parse(createCheckpointRequest.partial(), call.body);
      const made = service.checkpoint(org, row.name, { comment });
      return { status: 200, contentType: 'application/x-ndjson', body: told(made, deps.log) };
    }
    case 'POST /v1/checkpoints/{id}/restore': {
      const known = await service.getCheckpoint(org, row.name, idOf(id));
      const { mode = 'memory' } = parse(restoreRequest.partial(), call.body);
      // Who asked is gone when it is done: he is part of what is replaced.
      service
        .restore(org, row.name, known.id, { mode }, () => undefined)
        .catch((error: unknown) => {
          deps.log.error({ err: error, spriteId: row.id, checkpoint: known.id }, 'a restore asked for inside failed');
        });
      return json(202, { message: `restoring ${known.id}` });
    }
    case 'GET /v1/policy/network':
      return json(200, { rules: [] });
    default:
      throw new SylphError('not_found', 'no such path');
  }
}

/** The lines of making a checkpoint. */
async function* told(made: Promise<Checkpoint>, log: Logger): AsyncGenerator<string, void, undefined> {
  const line = (fields: Omit<StreamLine, 'time'>): string =>
    `${JSON.stringify({ ...fields, time: new Date().toISOString() })}\n`;
  // Told below; until then nobody waits for it.
  made.catch(() => undefined);
  yield line({ type: 'info', data: 'Creating checkpoint...' });
  try {
    const { id } = await made;
    yield line({ type: 'info', data: `  ID: ${id}` });
    yield line({ type: 'complete', data: `Checkpoint ${id} created successfully` });
  } catch (thrown) {
    logFailure(log, thrown, 'a checkpoint asked for inside failed');
    const { code, message } = shownFailure(thrown);
    yield line({ type: 'error', error: `Failed to create checkpoint: ${message}`, code });
  }
}

/** An answer of one JSON value. */
export function json(status: number, value: unknown): Answer {
  return { status, contentType: 'application/json', body: whole(JSON.stringify(value)) };
}

async function* whole(text: string): AsyncGenerator<string, void, undefined> {
  yield text;
}

function idOf(text: string | undefined): CheckpointId {
  const parsed = checkpointId.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new SylphError('checkpoint_not_found', 'checkpoint not found');
}

function parse<Schema extends z.ZodType>(schema: Schema, body: string): z.output<Schema> {
  let value: unknown;
  try {
    value = body.trim() === '' ? {} : JSON.parse(body);
  } catch (cause) {
    throw new SylphError('invalid_request', 'the body is not JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SylphError(
    'invalid_request',
    `${issue?.path.join('.') ?? 'the body'}: ${issue?.message ?? 'does not fit'}`,
  );
}
