import {
  checkpoint,
  createCheckpointRequest,
  listCheckpointsQuery,
  restoreRequest,
  streamLine,
  SylphError,
  type StreamLine,
} from '@sylph/model';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { createdLines, currentId, foundCheckpoint, idInPath, listedCheckpoints } from './checkpoint-list.ts';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import type { Place } from './live.ts';
import { NdjsonStream } from './ndjson.ts';
import { shortened } from './shortened.ts';
import { nameInPath } from './sprite-answer.ts';
import { tellWork, type ToldWork } from './told-work.ts';

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
        // Once the stream has begun there is no status left to refuse with.
        await idempotency.assertUsable(request);
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
        return listedCheckpoints(service, org, name, request.query);
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
        return foundCheckpoint(service, org, name, request.params.id);
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
          'Processes are back where they were; with `{"mode":"disk"}` the disk is booted afresh. The present is first kept as an `auto-` checkpoint. An unknown id is told in the stream, as existing clients expect. `complete`: the sprite answers. Sessions end for their clients as `lost`, and those of the checkpoint can be attached to anew; who follows the output of a background job goes on. A client that leaves does not stop the work.',
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

/** Answers with the lines of a piece of work. A client that leaves does not stop it. */
async function streamWork(reply: FastifyReply, place: Place, told: ToldWork): Promise<void> {
  const stream = new NdjsonStream<StreamLine>(reply, place);
  for await (const line of tellWork(told, reply.request.log)) stream.write(line);
  stream.end();
}
