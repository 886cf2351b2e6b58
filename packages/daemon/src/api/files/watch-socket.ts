import { GuestFileError, type SpriteLease } from '@sylph/engine';
import {
  maxFileRequestBytes,
  SylphError,
  watchSubscribe,
  type FileWatchMessage,
  type GuestWatchLine,
} from '@sylph/model';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { RawData } from 'ws';
import * as z from 'zod';
import { acceptAwake, type AwakeSocket } from '../awake-socket.ts';
import type { ClientSocket } from '../client-socket.ts';
import { errorResponses } from '../error-answers.ts';
import type { ApiParts } from '../parts.ts';
import { shownFailure } from '../shown-failure.ts';
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

const description = `Text messages. To the server, up to 16 times: \`{"type":"subscribe","paths":[…],"recursive":bool,"workingDir"}\`. From it: \`subscribed\` with the absolute paths, from which moment on nothing is missed; \`event\` with \`path\`, \`event\` (write, create, remove, rename, chmod), \`timestamp\`, \`size\`, \`isDir\`; \`overflow\`: changes came faster than they were read and some were lost, look at the files again; \`error\` with \`message\`, \`path\`, \`code\`, also for a message that is no subscription. Binary messages are ignored.

What a new directory holds is reported, and it is watched too. A rename is \`rename\` for the old and \`create\` for the new path. At most 8,192 directories a subscription, and 256 KiB of absolute paths. The watch holds the sprite awake. Close codes: 1000; 1008 the token is no longer valid; 1011 the sprite could not go on; 1012 the server restarts.`;

/** `…/fs/watch`: changes of files through a WebSocket. */
export const fileWatchRoutes =
  (parts: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
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
      handler: (request, reply) =>
        acceptAwake(parts, request, reply, { again: 'connect and subscribe again', connection: false }, serve),
    });
  };

/** Serves a socket until it is closed. Never rejects. */
async function serve({ socket, client, request, lease }: AwakeSocket): Promise<void> {
  const pings = setInterval(() => socket.ping(), pingMs);
  let subscriptions = 0;
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (isBinary) return;
    if (++subscriptions > maxSubscriptions) {
      const told = client.tell(failed(new SylphError('invalid_request', `at most ${maxSubscriptions} subscriptions`)));
      if (client.unsentBytes <= maxUnsentBytes) return;
      // It sends without reading what it is told.
      socket.pause();
      void told.then(() => socket.resume());
      return;
    }
    void subscribe(client, lease, data as Buffer, request);
  });
  await client.closed;
  clearInterval(pings);
}

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
    const request = { user: userOf(fields), recursive: recursive === true };
    assertFits({ paths: targets, ...request });
    const lines = await channel.files.watch(targets, { ...request, signal: client.gone });
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

/** Throws `invalid_request` for a request that the agent would not take. */
function assertFits(request: { paths: string[]; user: string; recursive: boolean }): void {
  const sizeBytes = Buffer.byteLength(JSON.stringify(request));
  if (sizeBytes <= maxFileRequestBytes) return;
  throw new SylphError(
    'invalid_request',
    `the paths, made absolute, take ${sizeBytes} bytes as JSON, more than ${maxFileRequestBytes}`,
    { hint: 'Watch a directory that holds them, or subscribe in parts.' },
  );
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
  const { message, code } = shownFailure(error);
  return { type: 'error', message, code };
}
