import { hostInfo } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';

/** `GET /v1/host`. */
export const hostRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    app.route({
      method: 'GET',
      url: '/v1/host',
      schema: {
        operationId: 'getHost',
        summary: 'What this machine is and can still give',
        tags: ['host'],
        response: { 200: hostInfo, ...errorResponses },
      },
      handler: () => deps.host(),
    });
  };
