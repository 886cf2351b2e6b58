import type { IncomingMessage } from 'node:http';
import type { Session } from '@sylph/engine';
import { httpExecQuery, streamByte, SylphError } from '@sylph/model';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { sessionRequest } from './exec-request.ts';
import type { Place } from './live.ts';
import { PacedChunks } from './paced-chunks.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

/** `POST …/exec`: runs a command without a terminal; the answer's chunks are its frames. */
export const httpExecRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;
    // The body is the command's input: passed on as it comes, whatever its type and length.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser(
      '*',
      (_request: unknown, payload: IncomingMessage, done: (error: null, body: IncomingMessage) => void) =>
        done(null, payload),
    );

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/exec',
      schema: {
        operationId: 'execHttp',
        summary: 'Run a command over plain HTTP',
        description:
          'With `stdin=true` the request body is its input. Each chunk of the answer is one frame: stream byte (1 stdout, 2 stderr, 3 exit) and data; the last is 3 and the exit code. A connection that ends without it: the session was lost.',
        tags: ['exec'],
        consumes: ['application/octet-stream'],
        params: z.object({ name: z.string() }),
        querystring: httpExecQuery,
        response: {
          200: { description: 'Frames', content: { 'application/octet-stream': { schema: z.string() } } },
          ...errorResponses,
        },
      },
      handler: async (request, reply) => {
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        const gone = vanished(reply);
        const session = await startSession();
        using _attached = session.attach();
        if (session.request.stdin) void feed(session, request.raw, gone);
        else request.raw.resume();
        await answer(reply, place, session, gone);
        request.log.info({ sessionId: session.id }, 'http exec ended');

        async function startSession(): Promise<Session> {
          using lease = await service.use(request.caller.org, name, { signal: gone });
          return lease.sessions.start(sessionRequest(request.query, lease.view));
        }
      },
    });

    async function answer(reply: FastifyReply, place: Place, session: Session, gone: AbortSignal): Promise<void> {
      reply.hijack();
      // Nobody is left to be answered, and no `close` to come that would end what follows.
      if (gone.aborted) return;
      const { raw } = reply;
      place.use({ close: async () => void raw.destroy() });
      raw.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'application/octet-stream',
        'cache-control': 'no-store',
      });
      raw.flushHeaders();
      const chunks = new PacedChunks(raw);
      try {
        const code = await copyOutput(session, chunks, gone);
        if (code === undefined) {
          // The unfinished chunked body tells the client that this is no end.
          await chunks.finish(undefined);
          raw.destroy();
        } else {
          await chunks.finish(code);
          raw.end();
        }
      } catch (error) {
        if (!gone.aborted) reply.request.log.error({ err: error, sessionId: session.id }, 'http exec failed');
        raw.destroy();
      }
    }
  };

/** Copies all output; returns the exit code, or undefined when there is none. */
async function copyOutput(session: Session, chunks: PacedChunks, gone: AbortSignal): Promise<number | undefined> {
  for await (const event of session.read({ offset: 0, signal: gone })) {
    switch (event.type) {
      case 'output':
        await chunks.write(streamByte[event.stream], event.bytes);
        break;
      case 'dropped':
        await chunks.write(streamByte.stderr, Buffer.from(`[output from byte ${event.from} to ${event.to} is gone]\n`));
        break;
      case 'end':
        if (event.end.how !== 'lost') return event.end.code;
        await chunks.write(streamByte.stderr, Buffer.from(`the session was lost: ${event.end.reason}\n`));
        return undefined;
      default:
        event satisfies never;
    }
  }
  throw new SylphError('internal', 'the output ended without an end');
}

/** Passes the request body on as input, no faster than the process takes it. Never rejects. */
async function feed(session: Session, body: IncomingMessage, gone: AbortSignal): Promise<void> {
  try {
    for await (const bytes of body) {
      if (session.end !== undefined || gone.aborted) break;
      await Promise.race([session.write(bytes as Buffer), session.ended]);
    }
    session.endInput();
  } catch {
    // The client broke off in the middle: the process keeps waiting for the rest, and ends with max_run_after_disconnect.
  }
  // What the process did not take is read and dropped, or the client could not read the answer.
  body.resume();
}
