import type { PortListMessage, PortMessage } from '@sylph/model';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { WebSocket } from 'ws';
import * as z from 'zod';
import { ClientSocket } from './client-socket.ts';
import { errorResponses } from './error-answers.ts';
import type { Place } from './live.ts';
import type { ApiParts } from './parts.ts';
import { followPorts } from './port-messages.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';
import { websocketOnly } from './websocket.ts';

/** Unsent bytes of a client at which changes are put together until it has read. */
const maxUnsentBytes = 64 * 1024;

const description = `Wakes the sprite, and does not keep it awake: while it sleeps nothing is told, and after its wake what has changed.

First message: text \`{"type":"port_list","ports":[{"type":"port_opened","port","address","pid"}]}\`, then \`port_opened\` and \`port_closed\` with the same fields. \`address\` is what \`…/proxy\` takes as \`host\`: \`127.0.0.1\` for a port bound to all addresses or to loopback, \`::1\` where only that is bound. \`pid\` is the process inside that holds the socket, the lowest of several; 0 when nobody was found. Ports are looked for once a second, at most 1,024. Messages to the server mean nothing.`;

/** `…/ports/watch`: the ports somebody in a sprite listens on. */
export const portsWatchRoutes =
  ({ deps, live, websockets, ports }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, limits } = deps;

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/ports/watch',
      constraints: websocketOnly,
      schema: {
        operationId: 'watchPorts',
        summary: 'Watch the listening ports of a sprite (WebSocket only)',
        description,
        tags: ['ports'],
        params: z.object({ name: z.string() }),
        response: { 101: z.null().describe('Switching protocols'), ...errorResponses },
      },
      handler: async (request, reply) => {
        websockets.assertHandshake(request);
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        using _awake = await service.use(request.caller.org, name, { signal: vanished(reply) });
        websockets.accept(request, reply, (socket) => void serve(socket, request, place, name));
      },
    });

    /** Never rejects. */
    async function serve(socket: WebSocket, request: FastifyRequest, place: Place, name: string): Promise<void> {
      const client = new ClientSocket(socket, request, limits);
      place.use({ close: (ending) => client.end(ending, 'watch again') });
      let listed = false;
      await followPorts({
        service,
        boards: ports,
        org: request.caller.org,
        name,
        wanted: () => true,
        tell: (changes) => {
          if (listed) tellChanges(client, changes);
          else void client.tell({ type: 'port_list', ports: changes } satisfies PortListMessage);
          listed = true;
        },
        ready: () => client.unsentBytes < maxUnsentBytes,
        signal: client.gone,
      });
      if (!client.gone.aborted) await client.leave(1001, 'the sprite is gone');
    }
  };

function tellChanges(client: ClientSocket, changes: readonly PortMessage[]): void {
  for (const change of changes) void client.tell(change);
}
