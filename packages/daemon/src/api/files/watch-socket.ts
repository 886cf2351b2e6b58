import { GuestFileError, type SpriteLease } from '@sylph/engine';
import { SylphError, watchSubscribe, type FileWatchMessage, type GuestWatchLine } from '@sylph/model';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { RawData, WebSocket } from 'ws';
import * as z from 'zod';
import { ClientSocket } from '../client-socket.ts';
import { errorResponses } from '../error-answers.ts';
import type { Ending, Place } from '../live.ts';
import type { ApiParts } from '../parts.ts';
import { nameInPath } from '../sprite-answer.ts';
import { vanished } from '../vanished.ts';
import { websocketOnly } from '../websocket.ts';
import { targetOf, userOf } from './target.ts';

/** Subscriptions of one socket. */
const maxSubscriptions = 16;
/** Longest message of a client: 256 paths. */
const maxMessageBytes = 1024 * 1024;
/** Unsent text at which the guest is held back. */
const maxUnsentBytes = 256 * 1024;
/** A quiet socket is pinged so often. */
const pingMs = 20_000;

const goodbyes = {
  restart: { code: 1012, reason: 'the server restarts; connect and subscribe again' },
  expelled: { code: 1008, reason: 'the token is no longer valid' },
} as const satisfies Record<Ending, { code: number; reason: string }>;

const description = `Text messages. To the server, up to 16 times: \`{"type":"subscribe","paths":[…],"recursive":bool,"workingDir"}\`. From it: \`subscribed\` with the absolute paths, from which moment on nothing is missed; \`event\` with \`path\`, \`event\` (write, create, remove, rename, chmod), \`timestamp\`, \`size\`, \`isDir\`; \`overflow\`: changes came faster than they were read and some were lost, look at the files again; \`error\` with \`message\`, \`path\`, \`code\`.

What a new directory holds is reported, and it is watched too. A rename is \`rename\` for the old and \`create\` for the new path. At most 8,192 directories a subscription. The watch holds the sprite awake. Close codes: 1000; 1008 the token is no longer valid; 1011 the sprite could not go on; 1012 the server restarts.`;

/** `…/fs/watch`: changes of files through a WebSocket. */
export const fileWatchRoutes =
  ({ deps, live, websockets }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, limits } = deps;

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/fs/watch',
      constraints: websocketOnly,
      schema: {
        operationId: 'watchFiles',
        summary: 'Watch files (WebSocket only)',
        description,
        tags: ['files'],
        params: z.object({ name: z.string() }),
        response: { 101: z.null().describe('Switching protocols'), ...errorResponses },
      },
      handler: async (request, reply) => {
        websockets.assertHandshake(request);
        using place = live.reserve(request, reply);
        const lease = await service.use(request.caller.org, nameInPath(request.params.name), {
          signal: vanished(reply),
        });
        let served = false;
        try {
          websockets.accept(request, reply, (socket) => {
            served = true;
            void serve(socket, request, place, lease);
          });
        } finally {
          if (!served) lease[Symbol.dispose]();
        }
      },
    });

    /** Serves a socket until it is closed. Never rejects. */
    async function serve(socket: WebSocket, request: FastifyRequest, place: Place, lease: SpriteLease): Promise<void> {
      using _lease = lease;
      // A protocol error of the client; the library closes with the fitting code.
      socket.on('error', (error) => request.log.debug({ err: error }, 'watch socket failed'));
      const client = new ClientSocket(socket, request.raw.socket, limits);
      place.use({
        close: (ending) => {
          const { code, reason } = goodbyes[ending];
          return client.leave(code, reason, limits.closeTimeoutMs);
        },
      });
      const pings = setInterval(() => socket.ping(), pingMs);
      let subscriptions = 0;
      socket.on('message', (data: RawData, isBinary: boolean) => {
        if (isBinary) return;
        if (++subscriptions > maxSubscriptions) {
          void client.tell(failed(new SylphError('invalid_request', `at most ${maxSubscriptions} subscriptions`)));
          return;
        }
        void subscribe(client, lease, data as Buffer, request);
      });
      await client.closed;
      clearInterval(pings);
    }
  };

/** Passes on what a subscription tells until the client leaves. Never rejects. */
async function subscribe(
  client: ClientSocket,
  { channel }: SpriteLease,
  data: Buffer,
  { log }: FastifyRequest,
): Promise<void> {
  try {
    const { paths, recursive, ...fields } = parse(data);
    const targets = paths.map((path) => targetOf(path, fields).path);
    const lines = await channel.files.watch(targets, {
      user: userOf(fields),
      recursive: recursive === true,
      signal: client.gone,
    });
    for await (const line of lines) {
      const told = client.tell(messageOf(line, targets));
      if (client.unsentBytes > maxUnsentBytes) await told;
    }
  } catch (error) {
    if (client.gone.aborted) return;
    void client.tell(failed(error));
    if (error instanceof GuestFileError || SylphError.from(error).status < 500) return;
    log.warn({ err: error }, 'a watch broke off');
    void client.close(1011, 'the watch broke off');
  }
}

function parse(data: Buffer): z.output<typeof watchSubscribe> {
  try {
    if (data.length > maxMessageBytes) throw new Error('the message is too long');
    return watchSubscribe.parse(JSON.parse(data.toString()));
  } catch (error) {
    throw new SylphError('invalid_request', 'the message is no subscription', { cause: error });
  }
}

function messageOf(line: GuestWatchLine, paths: string[]): FileWatchMessage {
  switch (line.type) {
    case 'subscribed':
      return { type: 'subscribed', paths };
    case 'overflow':
      return { type: 'overflow', message: line.error };
    case 'error': {
      const { error: message, path, code } = line;
      return {
        type: 'error',
        message,
        ...(path === undefined ? {} : { path }),
        ...(code === undefined ? {} : { code }),
      };
    }
    case 'event': {
      const { path, event, timestamp, size, isDir } = line;
      return { type: 'event', path, event, timestamp, size, isDir };
    }
    default:
      return line satisfies never;
  }
}

function failed(error: unknown): FileWatchMessage {
  if (error instanceof GuestFileError)
    return { type: 'error', message: error.message, path: error.path, code: error.errno };
  const { message, code } = SylphError.from(error);
  return { type: 'error', message: code === 'internal' ? 'an internal error' : message, code };
}
