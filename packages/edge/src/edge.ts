import http from 'node:http';
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { Access } from './access.ts';
import { cut, type ClientAnswer } from './answer.ts';
import { Attempts } from './attempts.ts';
import { isLoopback, type ClientRequest } from './client.ts';
import type { EdgeDeps, ResolvedEdgeDeps } from './deps.ts';
import { Directory } from './directory.ts';
import { EdgeFailure } from './failure.ts';
import { defaultEdgeLimits } from './limits.ts';
import { Links } from './links.ts';
import { Login } from './login.ts';
import { failurePage, wantsPage, type Page } from './pages.ts';
import { Proxy, type Passage } from './proxy.ts';
import { sendPage, sendRawPage } from './sending.ts';
import { Signer } from './signed.ts';
import { SpriteGate } from './sprite-gate.ts';
import { answerAsk, isAsk } from './tls-ask.ts';
import { http1Client, http2Client, isWebSocketUpgrade, type SocketClient } from './upgrade.ts';
import { visitOf } from './visit.ts';

/** Value of Strict-Transport-Security: a year. */
const hstsValue = 'max-age=31536000';

/** Answers the requests of browsers for sprites. Connections are given to {@link http1} and {@link http2}; who listens owns them. */
export class Edge {
  readonly http1: http.Server;
  readonly http2: http2.Http2Server;
  readonly #deps: ResolvedEdgeDeps;
  readonly #directory: Directory;
  readonly #gate: SpriteGate;
  readonly #proxy: Proxy;
  readonly #hsts: string | undefined;
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  #closing = false;

  /** `tls`: connections are TLS of ours. */
  constructor(deps: EdgeDeps, { tls }: { tls: boolean }) {
    const limits = { ...defaultEdgeLimits, ...deps.limits };
    this.#deps = { trusts: isLoopback, ...deps, limits };
    this.#hsts = tls ? hstsValue : undefined;
    const signer = new Signer(deps.key);
    const attempts = new Attempts(limits.maxWrongSecrets);
    const directory = new Directory(this.#deps);
    const parts = { signer, attempts, directory };
    this.#directory = directory;
    this.#gate = new SpriteGate({
      directory,
      access: new Access(this.#deps, parts),
      login: new Login(this.#deps, parts),
      links: new Links(this.#deps, parts),
    });
    this.#proxy = new Proxy(this.#deps);
    this.http1 = this.#createHttp1();
    this.http2 = this.#createHttp2();
  }

  /** Refuses what is new, ends idle connections, and waits for what is under way, at most `closeTimeoutMs`; the rest is broken off. */
  async close(): Promise<void> {
    this.#closing = true;
    this.http1.closeIdleConnections();
    for (const session of this.#sessions) session.close();
    const end = performance.now() + this.#deps.limits.closeTimeoutMs;
    while (this.#proxy.size > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#proxy[Symbol.dispose]();
    this.http1.close();
    this.http1.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
    this.http2.close();
  }

  #createHttp1(): http.Server {
    const { limits } = this.#deps;
    const server = http.createServer({
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
      // Bodies take as long as they like while they flow.
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      insecureHTTPParser: false,
      shouldUpgradeCallback: isWebSocketUpgrade,
    });
    // A silent drop of headers would let two sides read two requests.
    server.maxHeadersCount = 0;
    const serve = (request: ClientRequest, answer: ClientAnswer): void => void this.#serve(request, answer);
    server.on('request', serve);
    server.on('checkContinue', serve);
    server.on('checkExpectation', serve);
    server.on('upgrade', (request, socket, head) => {
      const refuse = (page: Page): void => sendRawPage(socket, page, this.#hsts);
      void this.#serveSocket(request, http1Client(socket, head, this.#hsts), refuse);
    });
    server.on('connect', (_request, socket) => this.#refuseConnect(socket));
    server.on('clientError', (error, socket) => this.#refuseUnreadable(error, socket));
    return server;
  }

  #createHttp2(): http2.Http2Server {
    const { limits } = this.#deps;
    const server = http2.createServer({
      maxHeaderListPairs: 256,
      // Streams beyond what one sprite serves at once would only wait.
      settings: {
        maxConcurrentStreams: 128,
        maxHeaderListSize: limits.maxHeaderBytes,
        enablePush: false,
        enableConnectProtocol: true,
      },
      maxSessionMemory: 10,
    });
    const serve = (request: ClientRequest, answer: ClientAnswer): void => void this.#serve(request, answer);
    server.on('request', serve);
    server.on('checkContinue', serve);
    server.on('connect', (request: http2.Http2ServerRequest, answer: http2.Http2ServerResponse) => {
      const refuse = (page: Page): void => sendPage(answer, page, { head: false, hsts: this.#hsts });
      if (request.headers[':protocol'] === 'websocket')
        void this.#serveSocket(request, http2Client(answer.stream, this.#hsts), refuse);
      else refuse(failurePage(new EdgeFailure('method_not_allowed', 'this is no forward proxy'), false));
    });
    server.on('session', (session) => {
      this.#sessions.add(session);
      // Streams that are open go on.
      session.setTimeout(limits.keepAliveTimeoutMs, () => session.close());
      session.once('close', () => this.#sessions.delete(session));
    });
    server.on('sessionError', () => {
      // A client that breaks the protocol loses its connection, nobody else anything.
    });
    return server;
  }

  /** Serves a request. Never rejects. */
  async #serve(request: ClientRequest, answer: ClientAnswer): Promise<void> {
    const left = new AbortController();
    answer.once('close', () => {
      if (!answer.writableFinished) left.abort(new Error('the client has left'));
    });
    answer.on('error', () => {
      // Its close follows.
    });
    request.on('error', () => {
      // As above.
    });
    const send = (page: Page): void => sendPage(answer, page, { head: request.method === 'HEAD', hsts: this.#hsts });
    try {
      if (isAsk(request)) return send(await answerAsk(request, this.#directory));
      const outcome = await this.#admit(request, left.signal);
      if ('page' in outcome) send(outcome.page);
      else await this.#proxy.request(outcome, answer);
    } catch (error) {
      if (left.signal.aborted) return;
      const failure = this.#failure(error, request);
      send(failurePage(failure, wantsPage(request)));
      if (answer.headersSent && !answer.writableEnded) cut(answer);
    }
  }

  /** As {@link #serve}, of a request for a WebSocket. `refuse` sends a page instead. */
  async #serveSocket(request: ClientRequest, client: SocketClient, refuse: (page: Page) => void): Promise<void> {
    const { stream } = client;
    const left = new AbortController();
    stream.once('close', () => left.abort(new Error('the client has left')));
    stream.on('error', () => {
      // Its close follows.
    });
    try {
      const outcome = await this.#admit(request, left.signal);
      if ('page' in outcome) refuse(outcome.page);
      else await this.#proxy.upgrade(outcome, client);
    } catch (error) {
      if (left.signal.aborted) return;
      refuse(failurePage(this.#failure(error, request), wantsPage(request)));
    }
  }

  async #admit(request: ClientRequest, signal: AbortSignal): Promise<{ page: Page } | Passage> {
    if (this.#closing || !this.#deps.ready())
      throw new EdgeFailure('not_ready', 'the server is starting or going down', { status: 503, retryAfterS: 5 });
    const visit = visitOf(request, this.#deps);
    const admission = await this.#gate.admit(visit);
    return 'page' in admission ? admission : { ...admission, visit, signal, hsts: this.#hsts };
  }

  #failure(error: unknown, request: ClientRequest): EdgeFailure {
    const failure = EdgeFailure.of(error);
    const fields = { err: error, host: request.headers.host?.slice(0, 255) };
    if (failure.code === 'internal') this.#deps.log.error(fields, 'a request to a sprite failed');
    else if (failure.answerStatus >= 500) this.#deps.log.warn(fields, 'a request to a sprite was not served');
    return failure;
  }

  #refuseConnect(socket: Duplex): void {
    const failure = new EdgeFailure('method_not_allowed', 'this is no forward proxy');
    sendRawPage(socket, failurePage(failure, false), this.#hsts);
  }

  /** What Node's parser could not read. The connection cannot be used any more. */
  #refuseUnreadable(error: Error & { code?: string }, socket: Duplex): void {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const [status, message] = unreadable[error.code ?? ''] ?? [400, 'the request is not HTTP'];
    const failure = new EdgeFailure('invalid_request', message, { status, hint: 'Send a well-formed request.' });
    sendRawPage(socket, failurePage(failure, false), this.#hsts);
  }
}

const unreadable: Record<string, [status: number, message: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'the head of the request is too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not come in time'],
};
