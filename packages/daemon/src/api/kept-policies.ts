import {
  privilegesPolicyAnswer,
  resourcesPolicyAnswer,
  type PrivilegesPolicy,
  type ResourcesPolicy,
} from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses } from './error-answers.ts';
import type { ApiParts } from './parts.ts';
import { nameInPath } from './sprite-answer.ts';

const tags = ['policies'];
const params = z.object({ name: z.string() });
const done = z.null().describe('Done');

/** Policies that existing clients set. They are kept and shown, with a word on what they change. */
export const keptPolicyRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;

    const kinds = [
      {
        kind: 'privileges',
        title: 'Privileges',
        description:
          'Kept and shown, without effect: a sprite is a machine of its own, whose root may do what it likes inside, and nothing outside.',
        schema: privilegesPolicyAnswer,
        effectsOf: (): string[] => [
          'none: a sprite is a machine of its own, whose root may do what it likes inside, and nothing outside',
        ],
      },
      {
        kind: 'resources',
        title: 'Resources',
        description:
          'Kept and shown. A sprite has the memory it was made with (`config.ram_mb`), no more and no less: `memory.limit_mb` of that much or more holds by itself, a smaller one has no effect, for taking memory away from a machine that runs would end it. `memory.autoscale` has none: memory that is not used is not taken from the host.',
        schema: resourcesPolicyAnswer,
        effectsOf: (policy: ResourcesPolicy, ramMib: number): string[] => resourceEffects(policy, ramMib),
      },
    ] as const;

    for (const { kind, title, description, schema, effectsOf } of kinds) {
      const url = `/v1/sprites/:name/policy/${kind}`;
      app.route({
        method: 'GET',
        url,
        schema: {
          operationId: `get${title}Policy`,
          summary: `Get the ${kind} policy of a sprite`,
          description,
          tags,
          params,
          response: { 200: schema, ...errorResponses },
        },
        handler: async (request) => {
          const { org } = request.caller;
          const name = nameInPath(request.params.name);
          const policy: PrivilegesPolicy & ResourcesPolicy = (await service.policies.kept(org, name))[kind] ?? {};
          const { row } = await service.get(org, name);
          return { ...policy, effects: effectsOf(policy, row.shape.ramMib) };
        },
      });

      app.route({
        method: 'POST',
        url,
        schema: {
          operationId: `set${title}Policy`,
          summary: `Set the ${kind} policy of a sprite`,
          description,
          tags,
          params,
          body: schema,
          response: { 204: done, ...errorResponses },
        },
        handler: async (request, reply) => {
          const { effects: _effects, ...policy } = request.body;
          await service.policies.keep(request.caller.org, nameInPath(request.params.name), { [kind]: policy });
          return reply.code(204).send(null);
        },
      });

      app.route({
        method: 'DELETE',
        url,
        schema: {
          operationId: `remove${title}Policy`,
          summary: `Remove the ${kind} policy of a sprite`,
          description: 'It is as if none had been set.',
          tags,
          params,
          response: { 204: done, ...errorResponses },
        },
        handler: async (request, reply) => {
          await service.policies.keep(request.caller.org, nameInPath(request.params.name), { [kind]: null });
          return reply.code(204).send(null);
        },
      });
    }
  };

function resourceEffects({ memory }: ResourcesPolicy, ramMib: number): string[] {
  const limit = memory?.limit_mb;
  const said: string[] = [];
  if (limit !== undefined && limit >= ramMib) said.push(`memory.limit_mb: holds, the sprite has ${ramMib} MiB`);
  if (limit !== undefined && limit < ramMib)
    said.push(`memory.limit_mb: none, the sprite has the ${ramMib} MiB it was made with`);
  if (memory?.autoscale !== undefined)
    said.push('memory.autoscale: none, memory that is not used is not taken from the host');
  return said.length > 0 ? said : [`none: the sprite has the ${ramMib} MiB it was made with`];
}
