import { SylphError } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ResolvedDeps } from './deps.ts';
import { errorResponses } from './error-answers.ts';

/** `GET /healthz`, without a token. */
export const healthRoutes =
  ({ ready, version }: Pick<ResolvedDeps, 'ready' | 'version'>): FastifyPluginAsyncZod =>
  async (app) => {
    app.route({
      method: 'GET',
      url: '/healthz',
      schema: {
        operationId: 'getHealth',
        summary: 'Whether sprites can be served',
        tags: ['host'],
        security: [],
        response: { 200: z.strictObject({ status: z.literal('ok'), version: z.string() }), ...errorResponses },
      },
      handler: async () => {
        if (!ready())
          throw new SylphError('not_ready', 'sylphd is starting', {
            hint: 'Try again in a moment; its log tells what it is doing.',
          });
        return { status: 'ok' as const, version };
      },
    });
  };
