import type { IncomingMessage } from 'node:http';
import type { Session } from '@sylph/engine';
import { execFramesType, httpExecQuery, SylphError } from '@sylph/model';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { sessionRequest } from './exec-request.ts';
import { type ExecWriter, execWriterFor } from './exec-writers.ts';
import type { Place } from './live.ts';
import { passBodies } from './pass-bodies.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

/** `POST …/exec`: runs a command without a terminal; the answer's chunks are its frames. */
export const httpExecRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;
    // The body is the command's input.
    passBodies(app);

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/exec',
      schema: {
        operationId: 'execHttp',
        summary: 'Run a command over plain HTTP',
        description:
          'With `stdin=true` the request body is its input. Each chunk of the answer is one frame: stream byte (1 stdout, 2 stderr, 3 exit) and data; the last is 3 and the exit code. A connection that ends without it: the session was lost. That form is paced for clients that take one read for one frame. With `Accept: application/vnd.sylph.frames` the body is frames `type u8 | length u32be | payload` (1 stdout, 2 stderr, 3 the end as JSON: `{"exit_code":0}` or `{"lost":"reason"}`), with `Accept: application/x-ndjson` lines: `{"type":"stdout","data":"…"}`, with `"encoding":"base64"` where it is no UTF-8, `dropped`, and at the end `exit` with `exit_code`, or `lost` with `reason`.',
        tags: ['exec'],
        consumes: ['application/octet-stream'],
        params: z.object({ name: z.string() }),
        querystring: httpExecQuery,
        response: {
          200: {
            description: 'Frames',
            content: {
              'application/octet-stream': { schema: z.string() },
              [execFramesType]: { schema: z.string() },
              'application/x-ndjson': { schema: z.string() },
            },
          },
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
      const writer = execWriterFor(reply.request.headers.accept)(raw);
      raw.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': writer.contentType,
        'cache-control': 'no-store',
      });
      raw.flushHeaders();
      try {
        if (await copyOutput(session, writer, gone)) raw.end();
        // The unfinished chunked body tells the client that this is no end.
        else raw.destroy();
      } catch (error) {
        if (!gone.aborted) reply.request.log.error({ err: error, sessionId: session.id }, 'http exec failed');
        raw.destroy();
      }
    }
  };

/** Copies all output and how it ended; as {@link ExecWriter.finish}. */
async function copyOutput(session: Session, writer: ExecWriter, gone: AbortSignal): Promise<boolean> {
  for await (const event of session.read({ offset: 0, signal: gone })) {
    switch (event.type) {
      case 'output':
        await writer.write(event.stream, event.bytes);
        break;
      case 'dropped':
        await writer.dropped(event.from, event.to);
        break;
      case 'end':
        return writer.finish(event.end);
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
