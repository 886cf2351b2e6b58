import type { SpriteLease } from '@sylph/engine';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { ClientSocket } from './client-socket.ts';
import type { ApiParts } from './parts.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

/** A connection's bytes are told to the engine at most so often. */
const usedIntervalMs = 250;

/** A client's socket about a sprite that was woken for it. */
export interface AwakeSocket {
  socket: WebSocket;
  /** The same, for sending. */
  client: ClientSocket;
  request: FastifyRequest;
  lease: SpriteLease;
}

/** How {@link acceptAwake} does it. */
export interface AwakeOptions {
  /** What a client is told to do after a restart of the server. */
  again: string;
  /** Whether only what flows keeps the sprite awake, see {@link flowing}. Else the open socket does. */
  connection: boolean;
}

/**
 * Wakes the sprite of a request, completes the handshake and has the socket served; the lease is held until `serve` resolves, which is to wait for the client's end and never rejects. `serve` begins before the
 * client's first message.
 */
export async function acceptAwake(
  { deps, live, websockets }: ApiParts,
  request: FastifyRequest<{ Params: { name: string } }>,
  reply: FastifyReply,
  { again, connection }: AwakeOptions,
  serve: (socket: AwakeSocket) => Promise<void>,
): Promise<void> {
  websockets.assertHandshake(request);
  using place = live.reserve(request, reply);
  const lease = await deps.service.use(request.caller.org, nameInPath(request.params.name), {
    signal: vanished(reply),
    connection,
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

/** What is to be called for every byte of a connection that keeps its sprite awake. */
export function flowing(lease: SpriteLease): () => void {
  let toldAt = -Infinity;
  return () => {
    const now = performance.now();
    if (now - toldAt < usedIntervalMs) return;
    toldAt = now;
    lease.used();
  };
}
