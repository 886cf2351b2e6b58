import { domainList, domainRequest, spriteDomain, SylphError } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses } from './error-answers.ts';
import type { ApiParts } from './parts.ts';
import { isServerName } from './server-names.ts';
import { nameInPath } from './sprite-answer.ts';

const tags = ['urls'];
const params = z.object({ name: z.string() });
/** Most domains of one sprite: a certificate may be made for each. */
const maxDomains = 20;

/** Domains of one's own that lead to a sprite: add, list, remove. */
export const domainRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;
    const { edge } = deps.repository;

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/domains',
      schema: {
        operationId: 'addDomain',
        summary: 'Let a domain lead to a sprite',
        description: `Requests that reach the edge with this name go where the sprite's URL leads, under the same settings. Pointing the name at this server is up to its owner. A name leads to one sprite; 409 where it does already. At most ${maxDomains} of a sprite.`,
        tags,
        params,
        body: domainRequest,
        response: { 201: spriteDomain, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { row } = await service.get(request.caller.org, nameInPath(request.params.name));
        const { domain } = request.body;
        if (isServerName(domain, deps))
          throw new SylphError('invalid_request', `${domain} belongs to this server`, {
            hint: 'Use a domain of your own.',
          });
        const own = await edge.domains(row.id);
        if (own.length >= maxDomains)
          throw new SylphError('limit_reached', `sprite ${row.name} has ${maxDomains} domains`, {
            hint: 'Remove one: DELETE …/domains/{domain}.',
          });
        const createdAt = new Date().toISOString();
        await edge.insertDomain({ domain, spriteId: row.id, createdAt });
        return reply.code(201).send({ domain, created_at: createdAt });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/domains',
      schema: {
        operationId: 'listDomains',
        summary: 'List the domains of a sprite',
        description: 'By name.',
        tags,
        params,
        response: { 200: domainList, ...errorResponses },
      },
      handler: async (request) => {
        const { row } = await service.get(request.caller.org, nameInPath(request.params.name));
        const domains = await edge.domains(row.id);
        return { domains: domains.map(({ domain, createdAt }) => ({ domain, created_at: createdAt })) };
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/domains/:domain',
      schema: {
        operationId: 'removeDomain',
        summary: 'Take a domain from a sprite',
        description: 'Requests for it are answered 404 from then on; another sprite may have it.',
        tags,
        params: z.object({ name: z.string(), domain: z.string() }),
        response: { 204: z.null().describe('Done'), ...errorResponses },
      },
      handler: async (request, reply) => {
        const { row } = await service.get(request.caller.org, nameInPath(request.params.name));
        if (!(await edge.removeDomain(row.id, request.params.domain)))
          throw new SylphError('domain_not_found', `this domain does not lead to sprite ${row.name}`);
        return reply.code(204).send(null);
      },
    });
  };
