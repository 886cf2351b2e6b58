import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer, type WebSocket } from 'ws';
import { FakeSession, type FakeCommand } from './fake-session.ts';

/** What a test may bend. */
export interface FakeFaults {
  /** Requests are accepted and never answered. */
  silent: boolean;
  /** Whether sessions can be taken up again at an output offset. */
  keepsOffsets: boolean;
  /** Exec sockets refuse to open with this status. */
  refuseExec: number | undefined;
  /** Whether `session_info` says how much input was taken. */
  tellsInput: boolean;
  /** Wait before answering an exec upgrade, ms. */
  wakeMs: number;
  /** Checkpoint streams stop after their first line, without an end. */
  stallStreams: boolean;
  /** Checkpoint streams end with an error line. */
  failStreams: boolean;
}

type Json = Record<string, unknown>;

/** A small server of the public API with real local processes behind exec, for tests of clients. Everything is in memory. */
export class FakeServer implements AsyncDisposable {
  readonly token = 'acme/1/2/secret';
  readonly faults: FakeFaults = {
    silent: false,
    keepsOffsets: true,
    refuseExec: undefined,
    tellsInput: true,
    wakeMs: 0,
    stallStreams: false,
    failStreams: false,
  };
  readonly sprites = new Map<string, Json>();
  readonly checkpoints = new Map<string, Json[]>();
  readonly sessions = new Map<string, FakeSession>();
  /** `METHOD path?query` of every request. */
  readonly requests: string[] = [];
  /** Bodies of JSON requests. */
  readonly bodies: unknown[] = [];
  readonly #http: Server = createServer((request, response) => void this.#answer(request, response));
  readonly #ws = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #sockets = new Set<Socket>();
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

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Breaks every connection without a goodbye. */
  drop(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  addSprite(name: string, more: Json = {}): Json {
    const now = new Date().toISOString();
    const sprite = {
      id: `sprite-00000000-0000-4000-8000-${String(++this.#counter).padStart(12, '0')}`,
      name,
      organization: 'acme',
      org_slug: 'acme',
      url: `http://${name}-abcde.sprites.localhost`,
      url_settings: { auth: 'sprite', private_access: 'org_users' },
      status: 'cold',
      state: 'asleep',
      reason: null,
      created_at: now,
      updated_at: now,
      last_running_at: null,
      last_warming_at: null,
      version: null,
      environment_version: null,
      labels: [],
      config: { cpus: 2, ram_mb: 2048, storage_gb: 20 },
      environment: {},
      idle_timeout_s: 30,
      image: 'minimal',
      parent: null,
      last_start: null,
      ...more,
    };
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
    if (kind === 'host') return send(response, 200, this.#host());
    if (kind !== 'sprites') throw new Refusal(404, 'not_found', 'no such path');
    if (name === undefined) return method === 'POST' ? this.#create(request, response) : this.#list(response, url);
    const sprite = this.#sprite(name);
    const action = rest.join('/');
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
        return send(response, 200, this.#listSessions());
      case 'POST exec':
        return this.#httpExec(request, response, url);
      case 'POST exec/…':
        return this.#kill(response, rest[1] ?? '', url);
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

  #list(response: ServerResponse, url: URL): void {
    const size = Math.min(Number(url.searchParams.get('max_results') ?? 50), 50);
    const after = url.searchParams.get('continuation_token') ?? '';
    const prefix = url.searchParams.get('prefix') ?? '';
    const names = [...this.sprites.keys()].filter((name) => name.startsWith(prefix) && name > after).toSorted();
    const page = names.slice(0, size);
    const more = names.length > size;
    const counts = { name: 'acme', running: 0, warm: 0, cold: names.length, running_limit: 0, warm_limit: 0 };
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

  async #kill(response: ServerResponse, id: string, url: URL): Promise<void> {
    const session = this.sessions.get(id);
    if (session === undefined) throw new Refusal(404, 'session_not_found', `session not found: ${id}`);
    if (session.exitCode !== undefined) throw new Refusal(410, 'session_exited', `session ${id} has ended`);
    const signal = (url.searchParams.get('signal') ?? 'TERM').replace(/^SIG/, '');
    session.signal(signal);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(`${JSON.stringify({ type: 'signal', message: 'Signaling', signal, pid: session.pid })}\n`);
    const code = await session.exited;
    response.end(
      `${JSON.stringify({ type: 'exited', message: 'Process exited' })}\n${JSON.stringify({ type: 'complete', exit_code: code })}\n`,
    );
  }

  async #httpExec(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const session = this.#startSession(url, url.searchParams.get('stdin') === 'true', false);
    if (session.command.stdin) {
      void (async () => {
        for await (const chunk of request) await session.write(chunk as Buffer);
        session.endInput();
      })().catch(() => session.endInput());
    } else request.resume();
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    // Node joins chunks that are written before earlier ones are out.
    const write = (bytes: Buffer): Promise<void> => new Promise((resolve) => response.write(bytes, () => resolve()));
    for await (const entry of session.read(0, () => !response.destroyed))
      await write(Buffer.concat([Buffer.of(entry.stream), entry.bytes]));
    await write(Buffer.of(3, await session.exited));
    response.end();
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    this.requests.push(`UPGRADE ${request.url}`);
    // Clients break off; the test looks at what they do.
    socket.on('error', () => undefined);
    if (this.faults.silent) return;
    if (this.faults.wakeMs > 0) await sleep(this.faults.wakeMs);
    const url = new URL(request.url ?? '/', 'http://fake');
    const [, , , name = '', , id] = url.pathname.split('/').map(decodeURIComponent);
    try {
      if (request.headers.authorization !== `Bearer ${this.token}`)
        throw new Refusal(401, 'unauthenticated', 'authentication failed');
      if (this.faults.refuseExec !== undefined)
        throw new Refusal(this.faults.refuseExec, 'not_ready', 'the server is starting');
      this.#sprite(name);
      const existing = id === undefined ? undefined : this.sessions.get(id);
      if (id !== undefined && existing === undefined)
        throw new Refusal(404, 'session_not_found', `session not found: ${id}`);
      this.#ws.handleUpgrade(request, socket, head, (ws) => {
        const tty = url.searchParams.get('tty') === 'true';
        const session = existing ?? this.#startSession(url, url.searchParams.get('stdin') !== 'false', tty);
        void this.#serve(ws, session, existing === undefined, Number(url.searchParams.get('offset') ?? 0));
      });
    } catch (thrown) {
      const { status, code, message } = thrown as Refusal;
      const body = JSON.stringify({ error: message, message, code, retryable: false });
      socket.end(
        `HTTP/1.1 ${status} No\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }

  async #serve(ws: WebSocket, session: FakeSession, isOwner: boolean, offset: number): Promise<void> {
    const { tty, argv } = session.command;
    session.sockets.add(ws);
    ws.on('error', () => undefined);
    ws.on('close', () => {
      session.sockets.delete(ws);
      session.wake();
    });
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) return hearText(session, data.toString());
      if (!tty && data[0] === 4) return session.endInput();
      ws.pause();
      void session.write(tty ? data : data.subarray(1)).then(() => ws.resume());
    });
    const position = {
      ...(this.faults.keepsOffsets ? { offset } : {}),
      ...(this.faults.tellsInput ? { input_offset: session.inputBytes } : {}),
    };
    ws.send(
      JSON.stringify({
        type: 'session_info',
        session_id: session.id,
        command: argv.join(' '),
        created: 0,
        cols: 0,
        rows: 0,
        is_owner: isOwner,
        tty,
        ...position,
      }),
    );
    for await (const { stream, bytes } of session.read(offset, () => ws.readyState === ws.OPEN)) {
      await new Promise<void>((resolve) =>
        ws.send(tty ? bytes : Buffer.concat([Buffer.of(stream), bytes]), () => resolve()),
      );
    }
    if (session.exitCode === undefined || ws.readyState !== ws.OPEN) return;
    if (!tty) ws.send(Buffer.of(3, session.exitCode));
    ws.send(
      JSON.stringify({ type: 'exit', exit_code: session.exitCode, code: session.exitCode, session_id: session.id }),
    );
    ws.close(session.exitCode === 0 ? 1000 : 4000 + session.exitCode);
  }

  #startSession(url: URL, stdin: boolean, tty: boolean): FakeSession {
    const env = Object.fromEntries(
      url.searchParams
        .getAll('env')
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
    const command: FakeCommand = {
      argv: url.searchParams.getAll('cmd'),
      env,
      dir: url.searchParams.get('dir') ?? undefined,
      tty,
      stdin,
    };
    const session = new FakeSession(String(++this.#counter), command);
    this.sessions.set(session.id, session);
    return session;
  }

  #listSessions(): Json {
    const sessions = [...this.sessions.values()]
      .filter((session) => session.exitCode === undefined)
      .map((session) => ({
        id: session.id,
        command: session.command.argv.join(' '),
        workdir: session.command.dir ?? '/home/sprite',
        created: session.createdAt.toISOString(),
        tty: session.command.tty,
        bytes_per_second: 0,
        is_active: session.sockets.size > 0,
        last_activity: session.createdAt.toISOString(),
      }));
    return { count: sessions.length, sessions };
  }

  #host(): Json {
    return {
      version: '0.1.0',
      accelerator: { kind: 'tcg', reason: 'no /dev/kvm' },
      qemu_version: '10.0.0',
      kernel: '6.12',
      agent: '0.1.0',
      cpus: 2,
      memory_total_bytes: 8 * 2 ** 30,
      memory_available_bytes: 4 * 2 ** 30,
      pool: { path: '/var/lib/sylph/pool', kind: 'loop', total_bytes: 10 * 2 ** 30, free_bytes: 8 * 2 ** 30 },
      cgroups: 'none',
      network: { kind: 'slirp', note: 'user-mode networking' },
      default_image: 'minimal',
      images: [
        { name: 'minimal', digest: 'abcdef0123456789', created_at: new Date(0).toISOString(), size_bytes: 10 ** 9 },
      ],
      sprites: { running: 0, warm: 0, cold: this.sprites.size },
      notices: ['emulation: sprites are slow on this machine'],
    };
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

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

function hearText(session: FakeSession, text: string): void {
  const message = JSON.parse(text) as { type: string; cols: number; rows: number; signal: string };
  if (message.type === 'resize') session.resizes.push({ cols: message.cols, rows: message.rows });
  if (message.type === 'signal') session.signal(message.signal);
}

function send(response: ServerResponse, status: number, body?: unknown): void {
  if (body === undefined) response.writeHead(status).end();
  else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
