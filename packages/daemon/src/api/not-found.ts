import type { IncomingMessage } from 'node:http';
import { SylphError } from '@sylph/model';
import type { FastifyInstance } from 'fastify';
import { isWebSocketUpgrade } from './websocket.ts';

/** Answers paths that do not exist with 404, and paths that exist for other methods with 405. */
export function answerUnknownPaths(app: FastifyInstance): void {
  const routes: { pattern: RegExp; methods: string[]; websocketOnly: boolean }[] = [];
  app.addHook('onRoute', ({ method, url, constraints }) => {
    const pattern = new RegExp(`^${url.replace(/[.]/g, String.raw`\.`).replace(/:[a-z]+/g, '[^/]+')}$`);
    routes.push({ pattern, methods: [method].flat(), websocketOnly: constraints?.['upgrade'] !== undefined });
  });

  app.setNotFoundHandler(async (request, reply) => {
    const path = pathOf(request.raw);
    const matching = routes.filter(({ pattern }) => pattern.test(path));
    if (matching.length === 0)
      throw new SylphError('not_found', 'there is nothing at this path', {
        hint: 'GET /openapi.json lists what there is.',
      });
    if (isWebSocketUpgrade(request.raw))
      throw new SylphError('not_found', 'there is no WebSocket at this path', {
        hint: 'Send the request without an Upgrade header.',
      });
    const allowed = [...new Set(matching.filter((route) => !route.websocketOnly).flatMap(({ methods }) => methods))];
    if (allowed.length === 0)
      throw new SylphError('invalid_request', 'this path speaks WebSocket only', {
        hint: 'Send an Upgrade header, as a WebSocket client does.',
      });
    reply.header('allow', allowed.join(', '));
    throw new SylphError('method_not_allowed', `${request.method} is not possible here`, {
      hint: `Possible: ${allowed.join(', ')}.`,
    });
  });
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '';
}
