import type { SpriteView } from '@sylph/engine';
import {
  createSpriteRequest,
  listSpritesQuery,
  listSpritesResponse,
  sprite,
  SylphError,
  updateSpriteRequest,
} from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { watchSprites } from './sprites-watch.ts';
import { nameInPath, spriteAnswer } from './sprite-answer.ts';

/** Most sprites of one answer. Clients that ask for more get these: one always asks for 100. */
const maxPageSize = 50;
const tags = ['sprites'];
const params = z.object({ name: z.string() });
const noContent = z.null().describe('Done');

/** `/v1/sprites`: create, list, watch, get, update, delete. */
export const spriteRoutes =
  ({ deps, idempotency, live, rates }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;
    const answerOf = (view: SpriteView) => spriteAnswer(view, deps);

    app.route({
      method: 'POST',
      url: '/v1/sprites',
      schema: {
        operationId: 'createSprite',
        summary: 'Create a sprite',
        description:
          'The VM starts with the first use. With `from`, it starts as another sprite is, or was at a checkpoint, or from an image. `Idempotency-Key` makes repeating safe.',
        tags,
        headers: z.object({ 'idempotency-key': z.string().optional() }),
        body: createSpriteRequest,
        response: { 201: sprite, ...errorResponses },
      },
      handler: async (request, reply) => {
        const body = await idempotency.once(request, {
          run: async () => {
            await rates.creations(request.caller, 1);
            return answerOf(await service.create(request.caller.org, request.body));
          },
          recover: async (since, failure) => {
            if (!(failure instanceof SylphError) || failure.code !== 'name_taken') return undefined;
            const view = await service.get(request.caller.org, request.body.name);
            return view.row.createdAt < since ? undefined : answerOf(view);
          },
        });
        return reply.code(201).send(body);
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites',
      schema: {
        operationId: 'listSprites',
        summary: 'List sprites',
        description: `By name, at most ${maxPageSize} an answer. With \`Accept: application/x-ndjson\` the answer stays open, whatever \`max_results\` says: one JSON object a line with the state of each sprite, then a heartbeat (\`"type":"heartbeat"\`, again every 15 s), then every change at most a second late; a sprite that is gone is \`"type":"deleted"\` with its name.`,
        tags,
        querystring: listSpritesQuery,
        response: { 200: listSpritesResponse, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const { prefix, max_results: asked = maxPageSize, continuation_token: token } = request.query;
        const limit = Math.min(asked, maxPageSize);
        if (request.headers.accept?.includes('application/x-ndjson') === true)
          return watchSprites(request, reply, { service, live, prefix, runningLimit: deps.limits.maxAwake });
        const [found, counts] = await Promise.all([
          service.list(org, { prefix, after: token === undefined ? undefined : nameOf(token), limit: limit + 1 }),
          service.counts(org.id),
        ]);
        const page = found.slice(0, limit);
        const hasMore = found.length > limit;
        const orgCounts = { name: org.slug, ...counts, running_limit: deps.limits.maxAwake, warm_limit: 0 };
        return {
          sprites: page.map(answerOf),
          has_more: hasMore,
          next_continuation_token: hasMore ? tokenOf(page.at(-1)?.row.name ?? '') : null,
          org: orgCounts,
          ...orgCounts,
        };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name',
      schema: {
        operationId: 'getSprite',
        summary: 'Get a sprite',
        tags,
        params,
        response: { 200: sprite, ...errorResponses },
      },
      handler: async (request) => answerOf(await service.get(request.caller.org, nameInPath(request.params.name))),
    });

    app.route({
      method: 'PUT',
      url: '/v1/sprites/:name',
      schema: {
        operationId: 'updateSprite',
        summary: 'Change settings of a sprite',
        description: 'What is absent stays. `labels` replaces all labels; `clear_labels` removes them.',
        tags,
        params,
        body: updateSpriteRequest,
        response: { 200: sprite, ...errorResponses },
      },
      handler: async (request) =>
        answerOf(await service.update(request.caller.org, nameInPath(request.params.name), request.body)),
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name',
      schema: {
        operationId: 'deleteSprite',
        summary: 'Delete a sprite with its checkpoints',
        tags,
        params,
        response: { 204: noContent, ...errorResponses },
      },
      handler: async (request, reply) => {
        await service.delete(request.caller.org, nameInPath(request.params.name));
        return reply.code(204).send(null);
      },
    });
  };

/** Continuation tokens are opaque to clients: the last name of the page. */
function tokenOf(name: string): string {
  return Buffer.from(name).toString('base64url');
}

function nameOf(token: string): string {
  const name = Buffer.from(token, 'base64url').toString();
  if (token === '' || tokenOf(name) !== token)
    throw new SylphError('invalid_request', 'the continuation_token is not one of this server', {
      hint: 'Pass next_continuation_token of the page before, unchanged.',
    });
  return name;
}
