import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';

/** Routes too frequent to be told of at the usual level. */
const quietRoutes = new Set(['/healthz']);

/** The client's own id for a request, if it is plain, or a new one. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : randomUUID();
}

/** A logger for requests: whoever logs a request or an answer of Node or Fastify with it gets nothing a client sent, for headers hold tokens and query strings hold commands and secrets. */
export function requestLogger(logger: Logger): Logger {
  const nothing = (): undefined => undefined;
  return logger.child({ component: 'api' }, { serializers: { req: nothing, res: nothing } });
}

/** One line per request: method, route (never the URL), status, duration. */
export function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const line = {
      method: request.method,
      route,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
    };
    if (quietRoutes.has(route)) request.log.debug(line, 'request');
    else request.log.info(line, 'request');
  });
}
