import type { SpriteView } from '@sylph/engine';
import {
  checkpoint,
  checkpointId,
  createCheckpointRequest,
  listCheckpointsQuery,
  restoreRequest,
  streamLine,
  SylphError,
  type Checkpoint,
  type CheckpointId,
  type StreamLine,
} from '@sylph/model';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { logFailure } from './failure-log.ts';
import type { Place } from './live.ts';
import { NdjsonStream } from './ndjson.ts';
import { shortened } from './shortened.ts';
import { nameInPath } from './sprite-answer.ts';

/** Id of the list entry that stands for the present. */
const currentId = 'Current';
/** A stream without news says that the work goes on. */
const stillIntervalMs = 15_000;
const tags = ['checkpoints'];
const params = z.object({ name: z.string() });
const checkpointParams = z.object({ name: z.string(), id: z.string() });
const ndjson = {
  description: 'One JSON object a line; the last is of type `complete` or `error`',
  content: { 'application/x-ndjson': { schema: streamLine } },
};

/** Checkpoints of a sprite: create, list, get, delete, restore. */
export const checkpointRoutes =
  ({ deps, idempotency, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/checkpoint',
      schema: {
        operationId: 'createCheckpoint',
        summary: 'Keep disk and memory of this instant',
        description:
          'The sprite runs on. A client that leaves does not stop the work. `Idempotency-Key` makes repeating safe.',
        tags,
        params,
        body: createCheckpointRequest.nullish(),
        response: { 200: ndjson, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        using place = live.reserve(request, reply);
        await service.get(org, name);
        await streamWork(reply, place, {
          first: 'Creating checkpoint...',
          still: 'Still creating the checkpoint',
          failed: 'Failed to create checkpoint',
          work: async (info) => {
            const made = await idempotency.once(request, {
              run: () => service.checkpoint(org, name, { comment: request.body?.comment ?? '' }),
              // One that failed made nothing. One whose end nobody knows is made once more: two are better than none.
              recover: async () => undefined,
            });
            createdLines(made).forEach(info);
            return `Checkpoint ${made.id} created successfully`;
          },
        });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/checkpoints',
      schema: {
        operationId: 'listCheckpoints',
        summary: 'List checkpoints',
        description: `Newest first; the first entry, \`${currentId}\`, is the present. With \`history\`: that checkpoint and what descends from it. Those the daemon made itself are shown with \`includeAuto\`.`,
        tags,
        params,
        querystring: listCheckpointsQuery,
        response: { 200: z.array(checkpoint), ...errorResponses },
      },
      handler: async (request) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        const { history, includeAuto = false } = request.query;
        const [view, made] = await Promise.all([service.get(org, name), service.checkpoints(org, name)]);
        const all = [presentOf(view, made), ...made].filter((each) => includeAuto || !each.is_auto);
        if (history === undefined) return all;
        if (!made.some((each) => each.id === history)) throw unknownCheckpoint(history);
        return all.filter((each) => each.id === history || each.history.includes(history));
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/checkpoints/:id',
      schema: {
        operationId: 'getCheckpoint',
        summary: 'Get a checkpoint',
        tags,
        params: checkpointParams,
        response: { 200: checkpoint, ...errorResponses },
      },
      handler: async (request) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        if (request.params.id !== currentId) return service.getCheckpoint(org, name, idInPath(request.params.id));
        const [view, made] = await Promise.all([service.get(org, name), service.checkpoints(org, name)]);
        return presentOf(view, made);
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/checkpoints/:id',
      schema: {
        operationId: 'deleteCheckpoint',
        summary: 'Delete a checkpoint',
        description: 'Not the one the present descends from (409).',
        tags,
        params: checkpointParams,
        response: { 204: z.null().describe('Done'), ...errorResponses },
      },
      handler: async (request, reply) => {
        const name = nameInPath(request.params.name);
        if (request.params.id === currentId)
          throw new SylphError('checkpoint_in_use', 'the present cannot be deleted', {
            hint: 'Delete the sprite, or restore another checkpoint.',
          });
        await service.deleteCheckpoint(request.caller.org, name, idInPath(request.params.id));
        return reply.code(204).send(null);
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/checkpoints/:id/restore',
      schema: {
        operationId: 'restoreCheckpoint',
        summary: 'Go back to a checkpoint',
        description:
          'Processes are back where they were; with `{"mode":"disk"}` the disk is booted afresh. The present is first kept as an `auto-` checkpoint. An unknown id is told in the stream, as existing clients expect. A client that leaves does not stop the work.',
        tags,
        params: checkpointParams,
        body: restoreRequest.nullish(),
        response: { 200: ndjson, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        const { id } = request.params;
        using place = live.reserve(request, reply);
        await service.get(org, name);
        await streamWork(reply, place, {
          first: `Restoring from checkpoint ${shortened(id)}...`,
          still: 'Still restoring',
          failed: 'Failed to restore checkpoint',
          work: async (info) => {
            const { savedAs } = await service.restore(
              org,
              name,
              idInPath(id),
              { mode: request.body?.mode ?? 'memory' },
              info,
            );
            info(
              savedAs === undefined
                ? 'There was no present that could be kept'
                : `What was there before is kept as ${savedAs}`,
            );
            info('Container components started successfully');
            return `Restore from ${id} complete`;
          },
        });
      },
    });
  };

interface StreamedWork {
  /** First line, sent before the work begins. */
  first: string;
  still: string;
  /** Begins the error line. */
  failed: string;
  /** Does it, telling steps; returns the text of the last line. */
  work: (info: (data: string) => void) => Promise<string>;
}

/** Answers with the lines of a piece of work. Whatever happens, the last line says how it ended. */
async function streamWork(
  reply: FastifyReply,
  place: Place,
  { first, still, failed, work }: StreamedWork,
): Promise<void> {
  const stream = new NdjsonStream<StreamLine>(reply, place);
  const startedAt = Date.now();
  const write = (line: Omit<StreamLine, 'time'>): void => stream.write({ ...line, time: new Date().toISOString() });
  const info = (data: string): void => {
    write({ type: 'info', data });
    timer.refresh();
  };
  const timer = setInterval(
    () => write({ type: 'info', data: `${still} (${Math.round((Date.now() - startedAt) / 1000)} s)` }),
    stillIntervalMs,
  );
  try {
    info(first);
    write({ type: 'complete', data: await work(info) });
  } catch (thrown) {
    const error = SylphError.from(thrown);
    if (error.status >= 500) logFailure(reply.request.log, thrown, 'streamed work failed');
    const text =
      error.code === 'internal' ? 'an internal error; the log of sylphd has it under this request id' : error.message;
    write({
      type: 'error',
      error: `${failed}: ${text}`,
      code: error.code,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  } finally {
    clearInterval(timer);
    stream.end();
  }
}

/** The lines scripts look for: they find the new id in `  ID: vN`. */
function createdLines({ id, create_time: createTime }: Checkpoint): string[] {
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

function idInPath(text: string): CheckpointId {
  const parsed = checkpointId.safeParse(text);
  if (!parsed.success) throw unknownCheckpoint(text);
  return parsed.data;
}

function unknownCheckpoint(id: string): SylphError {
  return new SylphError('checkpoint_not_found', `checkpoint not found: ${shortened(id)}`, {
    hint: 'List what there is with GET …/checkpoints?includeAuto=true.',
  });
}
