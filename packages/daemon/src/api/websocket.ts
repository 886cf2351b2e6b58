import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { SylphError } from '@sylph/model';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import { WebSocketServer, type WebSocket } from 'ws';
import { chosenProtocol } from './subprotocol.ts';

type RouteConstraint = NonNullable<NonNullable<FastifyServerOptions['routerOptions']>['constraints']>[string];
type RouteHandler = NonNullable<ReturnType<ReturnType<RouteConstraint['storage']>['get']>>;

/** Name of the route constraint that tells upgrades from ordinary requests for the same path. */
const constraintName = 'upgrade';

/** Put into the `constraints` of a route that answers WebSocket upgrades. */
export const websocketOnly = { [constraintName]: 'websocket' };

/** Socket and first bytes of a request that asked for an upgrade. */
const upgrades = new WeakMap<IncomingMessage, { socket: Duplex; head: Buffer }>();

/** For the Fastify options: routes with {@link websocketOnly} see upgrades and nothing else does. */
export const upgradeConstraint: RouteConstraint = {
  name: constraintName,
  storage() {
    const handlers = new Map<string, RouteHandler>();
    return {
      get: (key: string) => handlers.get(key) ?? null,
      set: (key: string, handler: RouteHandler) => void handlers.set(key, handler),
    };
  },
  // The type asks for a text; without one the constraint does not apply.
  deriveConstraint: (request) => (upgrades.has(request) ? 'websocket' : undefined) as string,
  mustMatchWhenDerived: true,
};

/** For the options of `http.createServer`: other upgrades (`h2c` of some clients) are to be ignored, as the standard allows, rather than refused. */
export function isWebSocketUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * WebSockets on a Fastify server. An upgrade travels through the router, hooks and error handler like any request, so that a refusal is an ordinary answer with a status and a JSON body; only then the
 * connection is handed over. No extension is negotiated: with permessage-deflate Node's own client loses the last messages before a close.
 */
export class WebSockets {
  readonly #server: WebSocketServer;
  /** Headers of an upgrade's answer. */
  readonly #headers = new WeakMap<IncomingMessage, string[]>();

  constructor(app: FastifyInstance, options: { maxMessageBytes: number }) {
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.maxMessageBytes,
      handleProtocols: chosenProtocol,
    });
    this.#server.on('headers', (headers, request) => headers.push(...(this.#headers.get(request) ?? [])));
    app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      route(app, request, socket, head),
    );
  }

  /**
   * Throws `invalid_request` for a handshake that cannot succeed. Call it before the work the socket is for.
   */
  assertHandshake({ headers }: FastifyRequest): void {
    if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? ''))
      throw new SylphError('invalid_request', 'the Sec-WebSocket-Key header is missing or malformed');
    if (headers['sec-websocket-version'] !== '13')
      throw new SylphError('invalid_request', 'only version 13 of the WebSocket protocol is spoken here', {
        hint: 'Send "Sec-WebSocket-Version: 13".',
      });
  }

  /**
   * Completes the handshake. The reply's headers are part of the answer. `opened` runs synchronously with the new socket, before its first message; it is not called when the client has gone already.
   */
  accept(request: FastifyRequest, reply: FastifyReply, opened: (socket: WebSocket) => void): void {
    const upgrade = upgrades.get(request.raw);
    if (upgrade === undefined) throw new Error('not an upgrade');
    reply.hijack();
    this.#headers.set(
      request.raw,
      Object.entries(reply.getHeaders()).map(([name, value]) => `${name}: ${String(value)}`),
    );
    reply.raw.detachSocket(upgrade.socket as never);
    this.#server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, opened);
  }
}

/** Sends an upgrade through Fastify, with a response that writes to the socket until it is handed over. */
function route(app: FastifyInstance, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  // Without a listener a reset connection would end the daemon. Nothing is lost: `close` follows.
  socket.on('error', () => {});
  upgrades.set(request, { socket, head });
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as never);
  response.on('finish', () => (socket as Duplex & { destroySoon(): void }).destroySoon());
  app.routing(request, response);
}
