import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { exampleHost, exampleSprite, Refusal, send, type Json } from './fake-answers.ts';
import { FakeExec, type FakeExecFaults } from './fake-exec.ts';
import { FakeFiles } from './fake-files.ts';
import { serveProxy } from './fake-proxy.ts';
import { serveWatch } from './fake-watch.ts';
import type { FakeSession } from './fake-session.ts';

/** What a test may bend. */
export interface FakeFaults extends FakeExecFaults {
  /** Requests are accepted and never answered. */
  silent: boolean;
  /** Exec sockets refuse to open with this status. */
  refuseExec: number | undefined;
  /** Wait before answering an exec upgrade, ms. */
  wakeMs: number;
  /** Checkpoint streams stop after their first line, without an end. */
  stallStreams: boolean;
  /** Checkpoint streams end with an error line. */
  failStreams: boolean;
}

/** A small server of the public API with real local processes behind exec, for tests of clients. Everything is in memory. */
export class FakeServer implements AsyncDisposable {
  readonly token = 'acme/1/2/secret';
  readonly faults: FakeFaults = {
    silent: false,
    keepsOffsets: true,
    refuseExec: undefined,
    tellsInput: true,
    framesBytes: 0,
    wakeMs: 0,
    stallStreams: false,
    failStreams: false,
  };
  readonly files = new FakeFiles();
  readonly sprites = new Map<string, Json>();
  readonly checkpoints = new Map<string, Json[]>();
  /** Whether `…/proxy` knows half-close. */
  halfClose = true;
  /** What `…/ports/watch` says before it closes. */
  portMessages: string[] = [];
  /** `METHOD path?query` of every request. */
  readonly requests: string[] = [];
  /** Bodies of JSON requests. */
  readonly bodies: unknown[] = [];
  readonly #http: Server = createServer((request, response) => void this.#answer(request, response));
  readonly #ws = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #sockets = new Set<Socket>();
  readonly #exec = new FakeExec(this.faults);
  #counter = 0;

  private constructor() {
    this.#http.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#http.on(
      'upgrade',
      (request: IncomingMessage, socket: Socket, head: Buffer) => void this.#upgrade(request, socket, head),
    );
    this.#ws.on('headers', (headers: string[]) => headers.push(`Sprite-Version: v0.1.0`));
  }

  static async start(port = 0): Promise<FakeServer> {
    const server = new FakeServer();
    server.#http.listen(port, '127.0.0.1');
    await once(server.#http, 'listening');
    return server;
  }

  /** What exec sockets tell of ports. */
  set openPorts(ports: number[]) {
    this.#exec.portMessages = ports.map((port) => ({ type: 'port_opened', port, address: '127.0.0.1', pid: 1 }));
  }

  /** By id, ended ones included. */
  get sessions(): Map<string, FakeSession> {
    return this.#exec.sessions;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Breaks every connection without a goodbye. */
  drop(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  addSprite(name: string, more: Json = {}): Json {
    const sprite = { ...exampleSprite(name, ++this.#counter), ...more };
    this.sprites.set(name, sprite);
    this.checkpoints.set(name, []);
    return sprite;
  }

  /** Kills what still runs. */
  async endSessions(): Promise<void> {
    for (const session of this.sessions.values()) {
      if (session.exitCode === undefined && session.pid > 0) session.signal('KILL');
      await session.exited;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endSessions();
    for (const socket of this.#sockets) socket.destroy();
    this.#http.close();
    await once(this.#http, 'close');
    await this.files.dispose();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    if (this.faults.silent) return;
    response.setHeader('Sprite-Version', 'v0.1.0');
    try {
      const url = new URL(request.url ?? '/', 'http://fake');
      if (url.pathname === '/healthz') return send(response, 200, { status: 'ok' });
      if (url.pathname === '/openapi.json') return send(response, 200, { openapi: '3.1.0' });
      if (request.headers.authorization !== `Bearer ${this.token}`)
        throw new Refusal(401, 'unauthenticated', 'authentication failed');
      await this.#route(request, response, url);
    } catch (thrown) {
      const refusal = thrown instanceof Refusal ? thrown : new Refusal(500, 'internal', String(thrown));
      send(response, refusal.status, {
        error: refusal.message,
        message: refusal.message,
        code: refusal.code,
        hint: refusal.hint,
        retryable: false,
      });
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, , kind, name, ...rest] = url.pathname.split('/').map(decodeURIComponent);
    const method = request.method ?? 'GET';
    if (kind === 'host') return send(response, 200, exampleHost(this.sprites.size));
    if (kind !== 'sprites') throw new Refusal(404, 'not_found', 'no such path');
    if (name === undefined)
      return method === 'POST' ? this.#create(request, response) : this.#list(request, response, url);
    const sprite = this.#sprite(name);
    const action = rest.join('/');
    if (rest[0] === 'fs') return this.files.answer(request, response, url, rest[1] ?? '');
    const route = `${method} ${rest[0] ?? ''}${rest.length > 1 ? '/…' : ''}`;
    switch (route) {
      case 'GET ':
        return send(response, 200, sprite);
      case 'PUT ':
        Object.assign(sprite, await this.#body(request));
        return send(response, 200, sprite);
      case 'DELETE ':
        this.sprites.delete(name);
        return send(response, 204);
      case 'POST start':
      case 'POST recover':
      case 'POST upgrade':
        Object.assign(sprite, { status: 'running', state: 'running' });
        return send(response, 200, sprite);
      case 'POST suspend':
        Object.assign(sprite, { status: 'warm', state: 'asleep' });
        return send(response, 200, sprite);
      case 'POST restart':
        return send(response, 200, { sprite_name: name, machine_id: 'm1', message: `Sprite ${name} restarted` });
      case 'GET check':
        return send(response, 200, {
          sprite_name: name,
          sprite_id: sprite['id'],
          status: 'healthy',
          checked_at: new Date().toISOString(),
          elapsed: 1.5,
        });
      case 'POST fork': {
        const body = await this.#body(request);
        const count = typeof body['count'] === 'number' ? body['count'] : undefined;
        const names =
          count === undefined
            ? [String(body['name'])]
            : Array.from({ length: count }, (_, index) => `${String(body['name'])}-${index + 1}`);
        return send(response, 201, { sprites: names.map((fork) => this.addSprite(fork)) });
      }
      case 'GET exec':
        return send(response, 200, this.#exec.list());
      case 'POST exec':
        return this.#exec.http(request, response, url);
      case 'POST exec/…':
        return this.#exec.kill(response, rest[1] ?? '', url);
      case 'POST checkpoint':
        return this.#checkpoint(request, response, name);
      case 'GET checkpoints':
        return send(response, 200, this.checkpoints.get(name)?.toReversed() ?? []);
      default:
        return this.#checkpointRoute(response, name, action, method);
    }
  }

  #checkpointRoute(response: ServerResponse, sprite: string, action: string, method: string): Promise<void> | void {
    const [kind, id, verb] = action.split('/');
    if (kind !== 'checkpoints') throw new Refusal(404, 'not_found', `no such path: ${action}`);
    const found = this.checkpoints.get(sprite)?.find((each) => each['id'] === id);
    if (found === undefined)
      throw new Refusal(
        404,
        'checkpoint_not_found',
        `there is no checkpoint ${id}`,
        'list them with `sylph checkpoint list`',
      );
    if (verb === 'restore')
      return this.#stream(
        response,
        [`Restoring from checkpoint ${id}...`, 'Container components started successfully'],
        `Restore from ${id} complete`,
      );
    if (method === 'DELETE') {
      this.checkpoints.set(
        sprite,
        (this.checkpoints.get(sprite) ?? []).filter((each) => each !== found),
      );
      return send(response, 204);
    }
    return send(response, 200, found);
  }

  async #create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await this.#body(request);
    const name = String(body['name']);
    if (this.sprites.has(name))
      throw new Refusal(
        409,
        'name_taken',
        `A sprite named '${name}' already exists. Please choose a different name.`,
        'choose another name',
      );
    send(response, 201, this.addSprite(name, { labels: body['labels'] ?? [] }));
  }

  #list(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> | void {
    const prefix = url.searchParams.get('prefix') ?? '';
    const counts = { name: 'acme', running: 0, warm: 0, cold: this.sprites.size, running_limit: 0, warm_limit: 0 };
    if (request.headers.accept === 'application/x-ndjson') {
      const named = (): Json[] => [...this.sprites.values()].filter(({ name }) => String(name).startsWith(prefix));
      return serveWatch(response, named, counts);
    }
    const size = Math.min(Number(url.searchParams.get('max_results') ?? 50), 50);
    const after = url.searchParams.get('continuation_token') ?? '';
    const names = [...this.sprites.keys()].filter((name) => name.startsWith(prefix) && name > after).toSorted();
    const page = names.slice(0, size);
    const more = names.length > size;
    send(response, 200, {
      sprites: page.map((name) => this.sprites.get(name)),
      has_more: more,
      next_continuation_token: more ? page.at(-1) : null,
      org: counts,
      ...counts,
    });
  }

  async #checkpoint(request: IncomingMessage, response: ServerResponse, sprite: string): Promise<void> {
    const { comment = '' } = await this.#body(request);
    const list = this.checkpoints.get(sprite) ?? [];
    const id = `v${list.length}`;
    list.push({
      id,
      create_time: new Date().toISOString(),
      comment,
      history: [],
      is_auto: false,
      source_id: null,
      health: '',
      kind: 'memory',
      size_bytes: 1_234_567,
    });
    await this.#stream(
      response,
      ['Creating checkpoint...', 'Checkpoint created successfully', `\nCheckpoint Details:`, `  ID: ${id}`],
      `Checkpoint ${id} created successfully`,
    );
  }

  async #stream(response: ServerResponse, infos: string[], complete: string): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const time = new Date().toISOString();
    for (const data of infos) {
      response.write(`${JSON.stringify({ type: 'info', data, time })}\n`);
      if (this.faults.stallStreams) return;
      await sleep(2);
    }
    const last = this.faults.failStreams
      ? { type: 'error', error: 'the pool is full', code: 'pool_full', hint: 'delete something', time }
      : { type: 'complete', data: complete, time };
    response.end(`${JSON.stringify(last)}\n`);
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    this.requests.push(`UPGRADE ${request.url}`);
    // Clients break off; the test looks at what they do.
    socket.on('error', () => undefined);
    if (this.faults.silent) return;
    if (this.faults.wakeMs > 0) await sleep(this.faults.wakeMs);
    const url = new URL(request.url ?? '/', 'http://fake');
    const [, , , name = '', ...rest] = url.pathname.split('/').map(decodeURIComponent);
    const id = rest[1];
    try {
      const { authorization, 'sec-websocket-protocol': offers } = request.headers;
      const offer = `sylph, bearer.${Buffer.from(this.token).toString('base64url')}`;
      if (authorization !== `Bearer ${this.token}` && offers !== offer)
        throw new Refusal(401, 'unauthenticated', 'authentication failed');
      if (this.faults.refuseExec !== undefined)
        throw new Refusal(this.faults.refuseExec, 'not_ready', 'the server is starting');
      this.#sprite(name);
      if (rest.join('/') === 'proxy')
        return this.#ws.handleUpgrade(request, socket, head, (ws) => serveProxy(ws, this.halfClose));
      if (rest.join('/') === 'ports/watch') {
        return this.#ws.handleUpgrade(request, socket, head, (ws) => {
          for (const message of this.portMessages) ws.send(message);
          ws.close(1000);
        });
      }
      const existing = id === undefined ? undefined : this.sessions.get(id);
      if (id !== undefined && existing === undefined)
        throw new Refusal(404, 'session_not_found', `session not found: ${id}`);
      this.#ws.handleUpgrade(request, socket, head, (ws) => {
        const tty = url.searchParams.get('tty') === 'true';
        const session = existing ?? this.#exec.start(url, url.searchParams.get('stdin') !== 'false', tty);
        void this.#exec.serve(ws, session, existing === undefined, Number(url.searchParams.get('offset') ?? 0));
      });
    } catch (thrown) {
      const { status, code, message } = thrown as Refusal;
      const body = JSON.stringify({ error: message, message, code, retryable: false });
      socket.end(
        `HTTP/1.1 ${status} No\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }

  #sprite(name: string): Json {
    const sprite = this.sprites.get(name);
    if (sprite === undefined)
      throw new Refusal(404, 'sprite_not_found', 'sprite not found', 'list them with `sylph list`');
    return sprite;
  }

  async #body(request: IncomingMessage): Promise<Json> {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk as string;
    const body = (text === '' ? {} : JSON.parse(text)) as Json;
    this.bodies.push(body);
    return body;
  }
}
