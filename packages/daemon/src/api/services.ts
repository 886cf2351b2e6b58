import type { GuestServices, SpriteLease } from '@sylph/engine';
import {
  putServiceRequest,
  service,
  serviceEvent,
  serviceLogsQuery,
  serviceName,
  serviceWindowQuery,
  signalServiceRequest,
  stopServiceQuery,
  SylphError,
  type ServiceEvent,
} from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses } from './error-answers.ts';
import { commandBase } from './exec-request.ts';
import { logFailure } from './failure-log.ts';
import { FlowingAnswer } from './flowing-answer.ts';
import type { ApiParts } from './parts.ts';
import { shortened } from './shortened.ts';
import { shownFailure } from './shown-failure.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

const tags = ['services'];
const params = z.object({ name: z.string() });
const oneService = z.object({ name: z.string(), service: z.string() });
const events = {
  description: 'One JSON object a line; the last is of type `complete`. An empty line after 20 s without another',
  content: { 'application/x-ndjson': { schema: serviceEvent } },
};
const done = z.null().describe('Done');

/** The routes that start a service that is there. */
const starts: { verb: 'start' | 'restart'; operationId: string; summary: string; description?: string }[] = [
  {
    verb: 'start',
    operationId: 'startService',
    summary: 'Start a service, with what it needs',
    description: 'One that runs is left alone.',
  },
  { verb: 'restart', operationId: 'restartService', summary: 'End a service if it runs, and start it' },
];

/** What is told of a start when the request does not say. */
const defaultWindowMs = 5_000;
const defaultStopTimeoutMs = 10_000;
const defaultLogLines = 100;

/** Services: programs that a sprite keeps running. */
export const serviceRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/services',
      schema: {
        operationId: 'listServices',
        summary: 'List services',
        description: 'By name, with their state. Wakes the sprite, as everything about services does.',
        tags,
        params,
        response: { 200: z.array(service), ...errorResponses },
      },
      handler: (request, reply) => ask(request, reply, (services, signal) => services.list({ signal })),
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/services/:service',
      schema: {
        operationId: 'getService',
        summary: 'Get a service',
        tags,
        params: oneService,
        response: { 200: service, ...errorResponses },
      },
      handler: (request, reply) => {
        const name = known(request.params.service);
        return ask(request, reply, (services, signal) => services.get(name, { signal }));
      },
    });

    app.route({
      method: 'PUT',
      url: '/v1/sprites/:name/services/:service',
      schema: {
        operationId: 'putService',
        summary: 'Create or replace a service, and start it',
        description:
          'What it needs is started first; a service runs when it has lived 250 ms, one with `http_port` when somebody listens there, or after 10 s. It is started again when it ends, with whatever code: after 1 s, doubled up to 60 s, anew after a run of 60 s; after 10 failures without one it is `failed`, until somebody starts it or the sprite boots. Services sleep and wake with their sprite, follow checkpoints and forks, and are started when it boots, in the order of their needs. They keep no sprite awake. 409: another service has an `http_port`, there are too many (100), or there is no room for it on the disk. A client that leaves does not stop the work.',
        tags,
        params: oneService,
        querystring: serviceWindowQuery,
        body: putServiceRequest,
        response: { 200: events, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { cmd, args, env, dir, needs, http_port } = request.body;
        const name = serviceName.safeParse(request.params.service);
        if (!name.success)
          throw new SylphError(
            'invalid_request',
            `the name of a service ${name.error.issues[0]?.message ?? 'does not fit'}`,
          );
        await tell(request, reply, ({ channel, view }, signal) =>
          channel.services.put(
            name.data,
            {
              cmd,
              args: args ?? [],
              env: env ?? {},
              dir: dir ?? '',
              needs: needs ?? [],
              http_port: http_port ?? null,
              base: commandBase(view),
            },
            { windowMs: request.query.duration ?? defaultWindowMs, signal },
          ),
        );
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/services/:service',
      schema: {
        operationId: 'deleteService',
        summary: 'End and remove a service',
        description: 'Its log stays in the sprite. 409: other services need it.',
        tags,
        params: oneService,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        const name = known(request.params.service);
        await ask(request, reply, (services, signal) => services.delete(name, { signal }));
        return reply.code(204).send(null);
      },
    });

    for (const { verb, operationId, summary, description } of starts) {
      app.route({
        method: 'POST',
        url: `/v1/sprites/:name/services/:service/${verb}`,
        schema: {
          operationId,
          summary,
          ...(description === undefined ? {} : { description }),
          tags,
          params: oneService,
          querystring: serviceWindowQuery,
          response: { 200: events, ...errorResponses },
        },
        handler: async (request, reply) => {
          const name = known(request.params.service);
          const windowMs = request.query.duration ?? defaultWindowMs;
          await tell(request, reply, ({ channel }, signal) => channel.services[verb](name, { windowMs, signal }));
        },
      });
    }

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/services/:service/stop',
      schema: {
        operationId: 'stopService',
        summary: 'End a service until somebody starts it',
        description:
          'TERM to its process group, KILL after the timeout. It stays stopped when the sprite boots. 409: it is not running.',
        tags,
        params: oneService,
        querystring: stopServiceQuery,
        response: { 200: events, ...errorResponses },
      },
      handler: async (request, reply) => {
        const name = known(request.params.service);
        const timeoutMs = request.query.timeout ?? defaultStopTimeoutMs;
        await tell(request, reply, ({ channel }, signal) => channel.services.stop(name, { timeoutMs, signal }));
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/services/:service/logs',
      schema: {
        operationId: 'serviceLogs',
        summary: 'Read the log of a service',
        description:
          'Output of stdout and stderr by lines, the newest ones first of all, then what comes for `duration`.',
        tags,
        params: oneService,
        querystring: serviceLogsQuery,
        response: { 200: events, ...errorResponses },
      },
      handler: async (request, reply) => {
        const name = known(request.params.service);
        const { lines = defaultLogLines, duration: followMs = 0 } = request.query;
        await tell(request, reply, ({ channel }, signal) => channel.services.logs(name, { lines, followMs, signal }));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/services/signal',
      schema: {
        operationId: 'signalService',
        summary: 'Send a signal to the process group of a service',
        description: '409: it is not running.',
        tags,
        params,
        body: signalServiceRequest,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { name, signal: number } = request.body;
        await ask(request, reply, (services, signal) => services.signal(name, number, { signal }));
        return reply.code(204).send(null);
      },
    });

    /** One question to the guest, and its answer. */
    async function ask<Answer>(
      request: FastifyRequest<{ Params: { name: string } }>,
      reply: FastifyReply,
      question: (services: GuestServices, signal: AbortSignal) => Promise<Answer>,
    ): Promise<Answer> {
      const signal = vanished(reply);
      using lease = await deps.service.use(request.caller.org, nameInPath(request.params.name), { signal });
      return await question(lease.channel.services, signal);
    }

    /** Answers with what the guest tells, as fast as the client reads; the sprite stays awake meanwhile. */
    async function tell(
      request: FastifyRequest<{ Params: { name: string } }>,
      reply: FastifyReply,
      begin: (lease: SpriteLease, signal: AbortSignal) => Promise<AsyncIterable<ServiceEvent>>,
    ): Promise<void> {
      using place = live.reserve(request, reply);
      const gone = vanished(reply);
      using lease = await deps.service.use(request.caller.org, nameInPath(request.params.name), { signal: gone });
      const told = await begin(lease, gone);
      const answer = new FlowingAnswer(reply, place, { 'content-type': 'application/x-ndjson' });
      using _beat = answer.beat('\n', deps.limits.keepAliveMs);
      try {
        for await (const event of told) await answer.write(`${JSON.stringify(event)}\n`, gone);
      } catch (error) {
        if (gone.aborted) return;
        const failure = shownFailure(error);
        if (failure.code !== 'agent_failed') logFailure(request.log, error, 'a stream about a service failed');
        const last: ServiceEvent = { type: 'error', timestamp: Date.now(), data: failure.message };
        await answer.write(`${JSON.stringify(last)}\n`, gone).catch(() => undefined); // the client has gone: nobody is left to tell
      }
      answer.end();
    }
  };

/** The name in a path. One outside the grammar cannot belong to a service. */
function known(text: string): string {
  if (serviceName.safeParse(text).success) return text;
  throw new SylphError('service_not_found', `service not found: ${shortened(text)}`, {
    hint: 'GET …/services lists the services of a sprite.',
  });
}
