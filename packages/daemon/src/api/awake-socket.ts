import type { SpriteLease } from '@sylph/engine';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { ClientSocket } from './client-socket.ts';
import type { ApiParts } from './parts.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

/** A client's socket about a sprite that stays awake for it. */
export interface AwakeSocket {
  socket: WebSocket;
  /** The same, for sending. */
  client: ClientSocket;
  request: FastifyRequest;
  lease: SpriteLease;
}

/**
 * Wakes the sprite of a request, completes the handshake and has the socket served; the sprite is held awake until `serve` resolves, which is to wait for the client's end and never rejects. `serve` begins before the
 * client's first message. `again` is what a client is told to do after a restart of the server.
 */
export async function acceptAwake(
  { deps, live, websockets }: ApiParts,
  request: FastifyRequest<{ Params: { name: string } }>,
  reply: FastifyReply,
  again: string,
  serve: (socket: AwakeSocket) => Promise<void>,
): Promise<void> {
  websockets.assertHandshake(request);
  using place = live.reserve(request, reply);
  const lease = await deps.service.use(request.caller.org, nameInPath(request.params.name), {
    signal: vanished(reply),
  });
  let served = false;
  try {
    websockets.accept(request, reply, (socket) => {
      served = true;
      const client = new ClientSocket(socket, request, deps.limits);
      place.use({ close: (ending) => client.end(ending, again) });
      void serve({ socket, client, request, lease }).finally(() => lease[Symbol.dispose]());
    });
  } finally {
    if (!served) lease[Symbol.dispose]();
  }
}
