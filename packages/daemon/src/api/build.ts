import type { Server } from 'node:http';
import Fastify, { LogController, type FastifyHttpOptions, type FastifyInstance, type FastifyReply } from 'fastify';
import { serializerCompiler, validatorCompiler, type FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { SylphError } from '@sylph/model';
import { onBehalfOf, requestIdField } from '../request-id.ts';
import { serveOpenApi } from '../openapi/document.ts';
import { requireToken } from './authentication.ts';
import { checkpointRoutes } from './checkpoints.ts';
import { domainRoutes } from './domains.ts';
import { linkRoutes } from './links.ts';
import { answerClientError, refuseExpectation } from './client-errors.ts';
import { defaultLimits, type ApiDeps, type ResolvedDeps } from './deps.ts';
import { answerErrors, sendError } from './error-answers.ts';
import { httpExecRoutes } from './exec-http.ts';
import { execSocketRoutes } from './exec-socket.ts';
import { fileContentRoutes } from './files/content.ts';
import { fileTreeRoutes } from './files/tree.ts';
import { fileWatchRoutes } from './files/watch-socket.ts';
import { healthRoutes } from './health.ts';
import { hostRoutes } from './host.ts';
import { Idempotency } from './idempotency.ts';
import { jobRoutes } from './jobs.ts';
import { readJsonBodies } from './json-body.ts';
import { keptPolicyRoutes } from './kept-policies.ts';
import { lifecycleRoutes } from './lifecycle.ts';
import { LiveSet } from './live.ts';
import { networkPolicyRoutes } from './network-policy.ts';
import { answerUnknownPaths } from './not-found.ts';
import type { ApiParts } from './parts.ts';
import { PortBoards } from './port-board.ts';
import { portsWatchRoutes } from './ports-watch.ts';
import { proxyRoutes } from './proxy-socket.ts';
import { logRequests, requestIdOf, requestLogger } from './request-log.ts';
import { RateLimits } from './rate-limits.ts';
import { serviceRoutes } from './services.ts';
import { sessionRoutes } from './sessions.ts';
import { shortened } from './shortened.ts';
import { spriteRoutes } from './sprites.ts';
import { sshKeyRoutes } from './ssh-keys.ts';
import { TokenWatch } from './token-watch.ts';
import { isWebSocketUpgrade, upgradeConstraint, WebSockets } from './websocket.ts';

/** Routes that ask for a token. */
const routes: readonly ((parts: ApiParts) => FastifyPluginAsyncZod)[] = [
  spriteRoutes,
  lifecycleRoutes,
  sessionRoutes,
  execSocketRoutes,
  proxyRoutes,
  portsWatchRoutes,
  jobRoutes,
  serviceRoutes,
  linkRoutes,
  domainRoutes,
  checkpointRoutes,
  networkPolicyRoutes,
  keptPolicyRoutes,
  fileTreeRoutes,
  fileWatchRoutes,
  hostRoutes,
  sshKeyRoutes,
];

/**
 * The HTTP and WebSocket API over an engine. Nothing listens yet: call `listen` on the result.
 * `close` answers new requests with 503, tells exec sockets to come back (1012), ends streams, waits for requests under way at most `closeTimeoutMs`, and stops listening.
 */
export function buildApi(options: ApiDeps): FastifyInstance {
  const deps: ResolvedDeps = { ...options, limits: { ...defaultLimits, ...options.limits } };
  const app = createServer(deps);
  const live = new LiveSet(deps.limits.maxStreams);
  const watch = new TokenWatch(live, deps.repository, { log: app.log, intervalMs: deps.limits.tokenCheckIntervalMs });
  app.addHook('onClose', async () => watch[Symbol.dispose]());
  const parts: ApiParts = {
    deps,
    live,
    rates: new RateLimits(deps.limits),
    idempotency: new Idempotency(app, deps.repository),
    ports: new PortBoards(app.log),
    websockets: new WebSockets(app, deps.limits),
  };

  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  closeInOrder(app, live, deps.limits.closeTimeoutMs);
  logRequests(app);
  answerErrors(app);
  answerUnknownPaths(app);
  serveOpenApi(app, deps.version);
  void app.register(async (open) => {
    readJsonBodies(open, deps.limits);
    await open.register(healthRoutes(deps));
  });
  void app.register(async (closed) => {
    closed.addHook('onRequest', async () => {
      if (!deps.ready())
        throw new SylphError('not_ready', 'sylphd is starting', {
          hint: 'Try again in a moment; GET /healthz tells when it is ready.',
        });
    });
    requireToken(closed, deps.repository);
    closed.addHook('onRequest', (request, reply) => parts.rates.request(request.caller, reply));
    await closed.register(async (json) => {
      readJsonBodies(json, deps.limits);
      for (const plugin of routes) await json.register(plugin(parts));
    });
    await closed.register(httpExecRoutes(parts));
    await closed.register(fileContentRoutes(parts));
  });
  return app;
}

function createServer({ limits, logger, version }: ResolvedDeps): FastifyInstance {
  const log = requestLogger(logger);
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: requestIdField }),
    genReqId: requestIdOf,
    requestIdHeader: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1_024, constraints: { upgrade: upgradeConstraint } },
    http: {
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
      // Bodies have their own deadline: a command's input may take as long as it likes.
      requestTimeout: 0,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      shouldUpgradeCallback: isWebSocketUpgrade,
    },
    clientErrorHandler: answerClientError(version),
    frameworkErrors: (error, request, reply) => {
      // Hooks have not run for a request the router could not read.
      identify(request.id, reply, version);
      sendError(reply, new SylphError('invalid_request', shortened(error.message), { cause: error }));
    },
  } satisfies FastifyHttpOptions<Server>);
  app.server.on('checkExpectation', refuseExpectation(version));
  app.server.maxConnections = limits.maxConnections;
  app.addHook('onRequest', async (request, reply) => {
    identify(request.id, reply, version);
  });
  // What comes after it, body and handler, runs on behalf of the request.
  app.addHook('onRequest', (request, _reply, done) => onBehalfOf(request.id, done));
  return app as unknown as FastifyInstance;
}

/** Headers of every answer. */
function identify(requestId: string, reply: FastifyReply, version: string): void {
  reply.header('x-request-id', requestId);
  reply.header('sprite-version', `v${version}`);
}

/** While the API closes, what is new is refused and what is open is ended; at the deadline the rest is cut off. */
function closeInOrder(app: FastifyInstance, live: LiveSet, closeTimeoutMs: number): void {
  let closing = false;
  let deadline: NodeJS.Timeout | undefined;
  app.addHook('onRequest', async () => {
    if (closing) throw new SylphError('shutting_down', 'the server is going down', { hint: 'Try again in a moment.' });
  });
  app.addHook('preClose', async () => {
    closing = true;
    deadline = setTimeout(() => app.server.closeAllConnections(), closeTimeoutMs);
    await live.close();
  });
  app.addHook('onClose', async () => clearTimeout(deadline));
}
