import { randomBytes, randomUUID } from 'node:crypto';
import { hashLinkSecret, hashPassword, linkPath, linkStands } from '@sylph/edge';
import type { LinkRow } from '@sylph/engine';
import { createdLink, createLinkRequest, linkList, maxLinks, SylphError, type Link } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses } from './error-answers.ts';
import type { ApiParts } from './parts.ts';
import { nameInPath } from './sprite-answer.ts';

const tags = ['urls'];
const params = z.object({ name: z.string() });
const secretBytes = 32;
const defaultLifeS = 7 * 24 * 3_600;

/** Preview links of a sprite: create, list, revoke. None of it wakes the sprite. */
export const linkRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, spriteUrl } = deps;
    const { edge } = deps.repository;

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/links',
      schema: {
        operationId: 'createLink',
        summary: 'Make a preview link',
        description: `Who has its URL opens the sprite in a browser without an account, until it expires or is revoked. A link for a port opens that port alone, one without where the sprite's URL leads. The URL is told this once. At most ${maxLinks} of a sprite.`,
        tags,
        params,
        body: createLinkRequest.nullish(),
        response: { 201: createdLink, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { row: sprite, org } = await service.get(request.caller.org, nameInPath(request.params.name));
        const { port = null, expires_in_s: lifeS = defaultLifeS, password, description = '' } = request.body ?? {};
        const now = Date.now();
        const kept = (await edge.links(sprite.id)).filter((link) => linkStands(link, now));
        if (kept.length >= maxLinks)
          throw new SylphError('limit_reached', `sprite ${sprite.name} has ${maxLinks} links`, {
            hint: 'Revoke one: DELETE …/links/{id}.',
          });
        const secret = randomBytes(secretBytes).toString('base64url');
        const link: LinkRow = {
          id: randomUUID(),
          spriteId: sprite.id,
          secretHash: hashLinkSecret(secret),
          port,
          passwordHash: password === undefined ? null : await hashPassword(password),
          description,
          createdAt: new Date(now).toISOString(),
          expiresAt: lifeS === null ? null : new Date(now + lifeS * 1000).toISOString(),
        };
        await edge.insertLink(link);
        const url = `${spriteUrl(sprite.name, org.urlSuffix, port)}${linkPath(link.id, secret)}`;
        return reply.code(201).send({ ...linkAnswer(link), url });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/links',
      schema: {
        operationId: 'listLinks',
        summary: 'List preview links',
        description: 'Newest first, without those that have expired. Their URLs are not kept.',
        tags,
        params,
        response: { 200: linkList, ...errorResponses },
      },
      handler: async (request) => {
        const { row } = await service.get(request.caller.org, nameInPath(request.params.name));
        const now = Date.now();
        return { links: (await edge.links(row.id)).filter((link) => linkStands(link, now)).map(linkAnswer) };
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/links/:id',
      schema: {
        operationId: 'revokeLink',
        summary: 'Revoke a preview link',
        description: 'At once, also for browsers that have opened it; what they have open ends within 5 seconds.',
        tags,
        params: z.object({ name: z.string(), id: z.string() }),
        response: { 204: z.null().describe('Done'), ...errorResponses },
      },
      handler: async (request, reply) => {
        const { row } = await service.get(request.caller.org, nameInPath(request.params.name));
        if (!(await edge.removeLink(row.id, request.params.id)))
          throw new SylphError('link_not_found', `sprite ${row.name} has no such link`);
        return reply.code(204).send(null);
      },
    });
  };

function linkAnswer(row: LinkRow): Link {
  return {
    id: row.id,
    port: row.port,
    description: row.description,
    has_password: row.passwordHash !== null,
    created_at: row.createdAt,
    expires_at: row.expiresAt,
  };
}
