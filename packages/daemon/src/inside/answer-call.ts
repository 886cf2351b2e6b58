import type { SpriteService, SpriteView } from '@sylph/engine';
import {
  createCheckpointRequest,
  listCheckpointsQuery,
  restoreRequest,
  SylphError,
  type GuestCall,
  type StreamLine,
} from '@sylph/model';
import type { Logger } from 'pino';
import type * as z from 'zod';
import { createdLines, foundCheckpoint, idInPath, listedCheckpoints } from '../api/checkpoint-list.ts';
import { commandBase } from '../api/exec-request.ts';
import { tellWork } from '../api/told-work.ts';

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
  const { pathname: path, searchParams } = new URL(call.path, 'http://sprite');
  const [, id = '', action] = /^\/v1\/checkpoints\/([^/]+)(?:\/(restore))?$/.exec(path) ?? [];
  switch (`${call.method} ${id === '' ? path : `/v1/checkpoints/{id}${action === undefined ? '' : '/restore'}`}`) {
    case 'GET /info':
    case 'GET /v1/info':
      return json(200, {
        sprite_id: row.id,
        sprite_name: row.name,
        sprite_url: deps.spriteUrl(row.name, org.urlSuffix),
        version: deps.version,
        org: org.slug,
      });
    case 'GET /base': // asked by the agent itself, for services that are defined inside
      return json(200, commandBase(sprite));
    case 'GET /v1/checkpoints': {
      const query = checked(listCheckpointsQuery, Object.fromEntries(searchParams));
      return json(200, await listedCheckpoints(service, org, row.name, query));
    }
    case 'GET /v1/checkpoints/{id}':
      return json(200, await foundCheckpoint(service, org, row.name, id));
    case 'POST /v1/checkpoint': {
      const { comment = '' } = parse(createCheckpointRequest.partial(), call.body);
      const lines = tellWork(
        {
          first: 'Creating checkpoint...',
          still: 'Still creating the checkpoint',
          failed: 'Failed to create checkpoint',
          work: async (info) => {
            const made = await service.checkpoint(org, row.name, { comment });
            createdLines(made).forEach(info);
            return `Checkpoint ${made.id} created successfully`;
          },
        },
        deps.log,
      );
      return { status: 200, contentType: 'application/x-ndjson', body: written(lines) };
    }
    case 'POST /v1/checkpoints/{id}/restore': {
      const known = await service.getCheckpoint(org, row.name, idInPath(id));
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
      return json(200, (await service.policies.network(org, row.name)).policy);
    default:
      throw new SylphError('not_found', 'no such path');
  }
}

/** Lines of JSON. */
async function* written(lines: AsyncIterable<StreamLine>): AsyncGenerator<string, void, undefined> {
  for await (const line of lines) yield `${JSON.stringify(line)}\n`;
}

/** An answer of one JSON value. */
export function json(status: number, value: unknown): Answer {
  return { status, contentType: 'application/json', body: whole(JSON.stringify(value)) };
}

async function* whole(text: string): AsyncGenerator<string, void, undefined> {
  yield text;
}

function parse<Schema extends z.ZodType>(schema: Schema, body: string): z.output<Schema> {
  let value: unknown;
  try {
    value = body.trim() === '' ? {} : JSON.parse(body);
  } catch (cause) {
    throw new SylphError('invalid_request', 'the body is not JSON', { cause });
  }
  return checked(schema, value);
}

function checked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SylphError(
    'invalid_request',
    `${issue?.path.join('.') ?? 'the body'}: ${issue?.message ?? 'does not fit'}`,
  );
}
