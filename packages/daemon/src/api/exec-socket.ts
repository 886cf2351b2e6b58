import type { OrgRow, Session, SpriteLease, SpriteService } from '@sylph/engine';
import { attachQuery, socketExecQuery, SylphError } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { WebSocket } from 'ws';
import * as z from 'zod';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { ExecClient } from './exec-client.ts';
import { passInput } from './exec-input.ts';
import { tellSessionPorts } from './exec-ports.ts';
import { sendBytes, sendOutput } from './exec-output.ts';
import { sessionRequest } from './exec-request.ts';
import { InputFeeders } from './input-feeders.ts';
import type { Place } from './live.ts';
import { screenOf, type Screen } from './screen.ts';
import { commandOf, findSession } from './session-lookup.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';
import { websocketOnly } from './websocket.ts';

const internalError = 1011;
/** Most output a client may have seen that a crash of the daemon can make unknown: what the guest keeps of a process, and what a journal holds in memory, with room to spare. */
const maxAheadBytes = 4 * 1024 * 1024;

/** A guest that was just woken, or found by a new daemon, is heard within milliseconds; after this a client is served without knowing how far its input got. */
const inputOffsetTimeoutMs = 5_000;

/** What the socket speaks, for the OpenAPI document, which has no words for WebSockets. */
export const execSocketDescription = `With \`Upgrade: websocket\` this runs a command, whose query parameters are those of \`POST …/exec\` and \`tty\`, \`cols\`, \`rows\`; or, with \`id\`, attaches to a session.

First message: text \`{"type":"session_info",…}\`; the output that follows begins at \`offset\`, and the session has its input up to \`input_offset\`, both in bytes from the command's start: after a broken connection attach with the offset reached and send the input behind \`input_offset\` again (absent when nobody knows it, or while another client's input may still arrive). An attach to a terminal without \`offset\` first gets its screen with some scrollback, as \`screen_bytes\` bytes that do not count. Several clients may be attached: all see the output, all may type, and the terminal takes the size of the one that typed last. Without a terminal, binary messages begin with a stream byte: 0 stdin, 4 end of stdin (to the server); 1 stdout, 2 stderr, 3 exit code (one byte; after the last output). With one they are raw.
Text messages to the server: \`{"type":"resize","cols","rows"}\`, \`{"type":"signal","signal"}\`; from it: \`exit\`, \`lost\` (nobody knows an exit code), \`dropped\`, \`error\` (\`message\`, \`code\`), \`debug\`, \`port_opened\` and \`port_closed\`. A binary message with another stream byte, and text that is no JSON object, close with 1003; a message of unknown type is ignored, one with wrong values answered with \`error\`.
A program that cannot be started ends with 127 (not found) or 126, and the reason as its last line of stderr. A restore or a restart of the sprite ends every session for its clients as \`lost\`; after a restore those of the checkpoint run on, and can be attached to anew.
Close codes: 1000; 4000 + exit code for a failed command on a terminal; 1008 the token was revoked or has expired; 1011 lost; 1012 the server restarts, attach again. A client that leaves does not end the command before \`max_run_after_disconnect\`.

Without an Upgrade header: the running sessions. Never wakes a sprite.`;

/** How a client joins a session. */
interface Joining {
  session: Session;
  isOwner: boolean;
  stdin: boolean;
  offset: number;
  inputOffset: number | undefined;
  /** Comes in front of the output. */
  screen?: Screen | undefined;
}

/** The exec WebSocket: starting a command, and attaching to one. */
export const execSocketRoutes =
  ({ deps, live, websockets, ports }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, limits } = deps;
    const feeders = new InputFeeders();

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/exec',
      constraints: websocketOnly,
      schema: { hide: true, params: z.object({ name: z.string() }), querystring: socketExecQuery },
      handler: async (request, reply) => {
        websockets.assertHandshake(request);
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        const known = request.query.id ?? request.query.session_id;
        if (known !== undefined) return await attach(request, reply, place, name, known, request.query);
        using lease = await service.use(request.caller.org, name, { signal: vanished(reply) });
        const wanted = sessionRequest(request.query, lease.view);
        const session = await lease.sessions.start(wanted);
        join(request, reply, place, name, { session, isOwner: true, stdin: wanted.stdin, offset: 0, inputOffset: 0 });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/exec/:session',
      constraints: websocketOnly,
      schema: {
        operationId: 'attachSession',
        summary: 'Attach to a session (WebSocket only)',
        description:
          'Replays the output from `offset`, then goes on live. Messages as for `GET …/exec` as a WebSocket.',
        tags: ['exec'],
        params: z.object({ name: z.string(), session: z.string() }),
        querystring: attachQuery,
        response: { 101: z.null().describe('Switching protocols'), ...errorResponses },
      },
      handler: async (request, reply) => {
        websockets.assertHandshake(request);
        using place = live.reserve(request, reply);
        return await attach(
          request,
          reply,
          place,
          nameInPath(request.params.name),
          request.params.session,
          request.query,
        );
      },
    });

    async function attach(
      request: FastifyRequest,
      reply: FastifyReply,
      place: Place,
      name: string,
      id: string,
      query: { stdin?: boolean | undefined; offset?: number | undefined },
    ): Promise<void> {
      const { org } = request.caller;
      const gone = vanished(reply);
      const { offset = 0, stdin = true } = query;
      const found = await findSession(service, org, name, id);
      // One that has ended is read from its journal; the sprite may sleep on.
      using lease: SpriteLease | undefined =
        found.end === undefined ? await service.use(org, name, { signal: gone }) : undefined;
      const session = lease === undefined ? found : (lease.sessions.get(id) ?? found);
      assertOffset(session, offset);
      const inputOffset = await inputOffsetOf(session, gone);
      const screen = query.offset === undefined ? await screenOf(session, gone) : undefined;
      join(request, reply, place, name, {
        session,
        isOwner: false,
        stdin: stdin && session.request.stdin,
        offset: screen?.offset ?? offset,
        inputOffset,
        screen,
      });
    }

    async function inputOffsetOf(session: Session, gone: AbortSignal): Promise<number | undefined> {
      if (feeders.has(session)) return undefined;
      return session.inputOffset({ signal: AbortSignal.any([gone, AbortSignal.timeout(inputOffsetTimeoutMs)]) });
    }

    /** Completes the handshake. From here on the client counts as attached, which keeps the sprite awake. */
    function join(request: FastifyRequest, reply: FastifyReply, place: Place, name: string, joining: Joining): void {
      const attached = joining.session.attach();
      // Bound to the connection: a client that leaves during the handshake never gets a socket.
      const { socket: connection } = request.raw;
      if (connection.destroyed) attached[Symbol.dispose]();
      else connection.once('close', () => attached[Symbol.dispose]());
      reply.header('x-sprite-capabilities', 'signal');
      websockets.accept(request, reply, (socket) => void serve(socket, request, place, name, joining));
    }

    /** Serves a socket until it is closed. Never rejects. */
    async function serve(
      socket: WebSocket,
      request: FastifyRequest,
      place: Place,
      name: string,
      { session, isOwner, stdin, offset, inputOffset, screen }: Joining,
    ): Promise<void> {
      const startedAt = Date.now();
      using client = new ExecClient(socket, request, limits);
      using _feeding = stdin ? feeders.add(session) : undefined;
      try {
        passInput({
          socket,
          session,
          stdin,
          limits,
          tell: (message) => client.told(message),
          wake: () => wake(service, request.caller.org, name, request),
        });
        place.use({ close: (ending) => client.end(ending, 'attach again') });
        const { cols, rows } = session.size ?? { cols: 0, rows: 0 };
        client.tell({
          type: 'session_info',
          session_id: session.id,
          command: commandOf(session),
          created: Math.floor(session.createdAt.getTime() / 1000),
          cols,
          rows,
          is_owner: isOwner,
          tty: session.request.tty !== null,
          offset,
          ...(inputOffset === undefined ? {} : { input_offset: inputOffset }),
          ...(screen === undefined ? {} : { screen_bytes: screen.drawing.length }),
        });
        if (screen !== undefined) await sendBytes(client, undefined, screen.drawing);
        void tellSessionPorts(client, session, { service, boards: ports, org: request.caller.org, name });
        await sendOutput(client, session, offset);
      } catch (error) {
        if (!client.gone.aborted) {
          request.log.error({ err: error, sessionId: session.id }, 'exec socket failed');
          const message = 'the output could not be read; attach again';
          client.tell({ type: 'error', message, error: message, code: 'internal' });
          void client.close(internalError, message);
        }
      }
      await client.closed;
      request.log.info(
        { sessionId: session.id, attached: !isOwner, durationMs: Date.now() - startedAt },
        'exec socket closed',
      );
    }
  };

/**
 * A client may have seen a little more than is known here: after a crash of the daemon the last output is fetched from the guest once more. Throws `invalid_request` for more than that.
 */
function assertOffset(session: Session, offset: number): void {
  const aheadBytes = session.end === undefined ? maxAheadBytes : 0;
  if (offset <= session.endOffset + aheadBytes) return;
  throw new SylphError('invalid_request', `offset ${offset} lies beyond the output so far, ${session.endOffset} bytes`);
}

/** Input wakes a sprite that was put to sleep under its clients. */
function wake(service: SpriteService, org: OrgRow, name: string, { log }: FastifyRequest): void {
  service.use(org, name).then(
    (lease) => lease[Symbol.dispose](),
    // The input waits in the session; the session's own end tells the client if the sprite is beyond help.
    (error: unknown) => log.warn({ err: error }, 'a sprite could not be woken for input'),
  );
}
