import type { OrgRow, SpriteView } from '@sylph/engine';
import { checkResponse, forkRequest, forkResponse, restartResponse, sprite, SylphError } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { nameInPath, spriteAnswer } from './sprite-answer.ts';

const tags = ['lifecycle'];
const params = z.object({ name: z.string() });

/** Commands to one sprite: start, suspend, recover, upgrade, restart, check, fork. */
export const lifecycleRoutes =
  ({ deps, idempotency, rates }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;

    /** Commands that take nothing and answer with the sprite. */
    const plain: {
      verb: string;
      summary: string;
      description: string;
      command: (org: OrgRow, name: string) => Promise<SpriteView>;
    }[] = [
      {
        verb: 'start',
        summary: 'Wake a sprite',
        description: 'Answers when its agent does.',
        command: (org, name) => service.start(org, name),
      },
      {
        verb: 'suspend',
        summary: 'Put a sprite to sleep now',
        description: 'Memory and processes are kept; no process of the host remains.',
        command: (org, name) => service.suspend(org, name),
      },
      {
        verb: 'recover',
        summary: 'Try again to start a failed sprite',
        description: 'From the best state there is: memory, disk, newest checkpoint.',
        command: (org, name) => service.recover(org, name),
      },
      {
        verb: 'upgrade',
        summary: 'Restart a sprite into the newest kernel and agent',
        description: 'Processes end; the disk stays.',
        command: (org, name) => service.upgrade(org, name),
      },
    ];
    for (const { verb, summary, description, command } of plain) {
      app.route({
        method: 'POST',
        url: `/v1/sprites/:name/${verb}`,
        schema: {
          operationId: `${verb}Sprite`,
          summary,
          description,
          tags,
          params,
          body: z.strictObject({}).nullish(),
          response: { 200: sprite, ...errorResponses },
        },
        handler: async (request) =>
          spriteAnswer(await command(request.caller.org, nameInPath(request.params.name)), deps),
      });
    }

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/restart',
      schema: {
        operationId: 'restartSprite',
        summary: 'Boot a sprite afresh from its disk',
        description: 'Processes get SIGTERM first.',
        tags,
        params,
        body: z.strictObject({}).nullish(),
        response: { 200: restartResponse, ...errorResponses },
      },
      handler: async (request) => {
        const { row } = await service.restart(request.caller.org, nameInPath(request.params.name));
        return { sprite_name: row.name, machine_id: row.id, message: `Sprite ${row.name} restarted` };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/check',
      schema: {
        operationId: 'checkSprite',
        summary: 'Ask the agent of a sprite how it is',
        description: 'Never wakes one. `elapsed` is in milliseconds.',
        tags,
        params,
        response: { 200: checkResponse, ...errorResponses },
      },
      handler: async (request) => {
        const { view, healthy, reason, elapsedMs } = await service.check(
          request.caller.org,
          nameInPath(request.params.name),
        );
        return {
          sprite_name: view.row.name,
          sprite_id: view.row.id,
          status: healthy ? view.status : 'unhealthy',
          ...(reason === undefined ? {} : { reason }),
          checked_at: new Date().toISOString(),
          elapsed: elapsedMs,
        };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/fork',
      schema: {
        operationId: 'forkSprite',
        summary: 'Make new sprites that continue where this one is',
        description:
          'From the present, in one capture, or from a checkpoint. With `count` N the names get `-1` to `-N`. All of them are made or none. `Idempotency-Key` makes repeating safe.',
        tags,
        params,
        headers: z.object({ 'idempotency-key': z.string().optional() }),
        body: forkRequest,
        response: { 201: forkResponse, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const answer = (views: SpriteView[]) => ({ sprites: views.map((view) => spriteAnswer(view, deps)) });
        const { name, count } = request.body;
        const body = await idempotency.once(request, {
          run: async () => {
            await rates.creations(request.caller, count ?? 1);
            return answer(await service.fork(org, nameInPath(request.params.name), request.body));
          },
          recover: async (since, failure) => {
            if (!(failure instanceof SylphError) || failure.code !== 'name_taken') return undefined;
            const names =
              count === undefined ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
            const views = await Promise.all(names.map((each) => service.get(org, each)));
            return views.some((view) => view.row.createdAt < since) ? undefined : answer(views);
          },
        });
        return reply.code(201).send(body);
      },
    });
  };
