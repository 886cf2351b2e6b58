import type { Session } from '@sylph/engine';
import { killLine, killQuery, listSessionsResponse, SylphError, type KillLine, type SignalName } from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { execSocketDescription } from './exec-socket.ts';
import { logFailure } from './failure-log.ts';
import { NdjsonStream } from './ndjson.ts';
import { commandOf, findSession, unknownSession } from './session-lookup.ts';
import { shownFailure } from './shown-failure.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

/** How long a session may take to be gone after KILL, before that is called a failure. */
const killTimeoutMs = 10_000;
const defaultTimeoutMs = 10_000;
const tags = ['exec'];

/** Sessions of a sprite: list and kill. */
export const sessionRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/exec',
      schema: {
        operationId: 'listSessions',
        summary: 'List running sessions; as a WebSocket: run a command',
        description: execSocketDescription,
        tags,
        params: z.object({ name: z.string() }),
        response: { 200: listSessionsResponse, ...errorResponses },
      },
      handler: async (request) => {
        const running = (await service.peekSessions(request.caller.org, nameInPath(request.params.name)))?.list() ?? [];
        return { count: running.length, sessions: running.map(sessionAnswer) };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/exec/:session/kill',
      schema: {
        operationId: 'killSession',
        summary: 'Signal a session and see it end',
        description: 'The signal goes to the process group; after `timeout`, KILL does. 410: it had ended before.',
        tags,
        params: z.object({ name: z.string(), session: z.string() }),
        querystring: killQuery,
        body: z.strictObject(killQuery.shape).nullish(),
        response: {
          200: {
            description: 'One JSON object a line; the last is of type `complete` or `error`',
            content: { 'application/x-ndjson': { schema: killLine } },
          },
          ...errorResponses,
        },
      },
      handler: async (request, reply) => {
        const { signal = 'TERM', timeout: timeoutMs = defaultTimeoutMs } = { ...request.body, ...request.query };
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        await findSession(service, request.caller.org, name, request.params.session);
        using lease = await service.use(request.caller.org, name, { signal: vanished(reply) });
        const session = lease.sessions.get(request.params.session) ?? unknownSession(request.params.session);
        // Refused with a status while that is still possible: gone before, or the signal cannot be sent.
        if (session.end !== undefined) throw exited(session.id);
        await session.signal(signal);
        const stream = new NdjsonStream<KillLine>(reply, place);
        try {
          await watchEnd(session, signal, timeoutMs, (line) => stream.write(line));
        } catch (error) {
          logFailure(request.log, error, 'killing a session failed');
          stream.write({ type: 'error', message: shownFailure(error).message });
        }
        stream.end();
      },
    });
  };

function exited(id: string): SylphError {
  return new SylphError('session_exited', `session ${id} has exited`);
}

function sessionAnswer(session: Session): z.output<typeof listSessionsResponse>['sessions'][number] {
  return {
    id: session.id,
    command: commandOf(session),
    workdir: session.request.dir,
    created: session.createdAt.toISOString(),
    tty: session.request.tty !== null,
    bytes_per_second: session.bytesPerSecond,
    is_active: session.clients > 0,
    last_activity: session.lastActivityAt.toISOString(),
  };
}

/** Tells how a session that was signalled ends; kills it when it does not. `timeoutMs` 0: only tells that the signal was sent. */
async function watchEnd(
  session: Session,
  signal: SignalName,
  timeoutMs: number,
  write: (line: KillLine) => void,
): Promise<void> {
  const { pid } = session;
  const tellSignal = (name: SignalName): void =>
    write({ type: 'signal', message: `Sent SIG${name} to process group ${pid}`, signal: `SIG${name}`, pid });
  tellSignal(signal);
  if (timeoutMs === 0) {
    write({ type: 'complete', ...(session.end === undefined ? {} : exitCodeOf(session)) });
    return;
  }
  if (!(await endedWithin(session, timeoutMs))) {
    write({ type: 'timeout', message: `Still running after ${timeoutMs / 1000} s` });
    // It may end by itself right now; then the answer is the same.
    await session.signal('KILL').catch((error: unknown) => {
      if (session.end === undefined) throw error;
    });
    tellSignal('KILL');
    if (!(await endedWithin(session, killTimeoutMs))) {
      write({ type: 'error', message: `Still running ${killTimeoutMs / 1000} s after SIGKILL; restart the sprite` });
      return;
    }
    write({ type: 'killed', message: 'Killed' });
  }
  if (session.end?.how === 'lost') {
    write({ type: 'error', message: `The session was lost: ${session.end.reason}` });
    return;
  }
  write({ type: 'exited', message: 'Exited' });
  write({ type: 'complete', ...exitCodeOf(session) });
}

function exitCodeOf({ end }: Session): { exit_code?: number } {
  if (end === undefined || end.how === 'lost') return {};
  return { exit_code: end.code };
}

/** Whether a session ends within a time. */
async function endedWithin(session: Session, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => (timer = setTimeout(resolve, ms, false)));
  const ended = await Promise.race([session.ended.then(() => true), timeout]);
  clearTimeout(timer);
  return ended;
}
