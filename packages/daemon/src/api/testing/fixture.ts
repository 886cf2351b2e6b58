import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OrgRow, Repository } from '@sylph/engine';
import type { HostInfo } from '@sylph/model';
import { openSqliteRepository } from '@sylph/store-sqlite';
import type { FastifyInstance } from 'fastify';
import { type Logger, pino } from 'pino';
import WebSocket from 'ws';
import { createToken } from '../../auth/tokens.ts';
import { requestIdMixin } from '../../request-id.ts';
import { buildApi } from '../build.ts';
import type { ApiDeps } from '../deps.ts';
import { FakeService } from './fake-service.ts';

const host: HostInfo = {
  version: '0.1.0',
  accelerator: { kind: 'tcg', reason: 'a test' },
  qemu_version: '10.0.0',
  kernel: '6.12',
  agent: '0.1.0',
  cpus: 2,
  memory_total_bytes: 1,
  memory_available_bytes: 1,
  pool: { path: '/pool', kind: 'directory', total_bytes: 1, free_bytes: 1 },
  cgroups: 'none',
  network: { kind: 'slirp', note: '' },
  default_image: null,
  images: [],
  sprites: { running: 0, warm: 0, cold: 0 },
  notices: [],
};

/** What every refusal says. */
export function assertErrorBody(body: Json, what: string): void {
  for (const field of ['error', 'message', 'code', 'hint'])
    assert.ok(
      typeof body[field] === 'string' && body[field] !== '',
      `${what}: an error without ${field}: ${JSON.stringify(body)}`,
    );
}

/** An answer that a test looks into. */
// oxlint-disable-next-line typescript/no-explicit-any -- a test compares it whole, or names the field it is about
export type Json = any;

/** One message of a socket: text messages parsed, binary ones as buffers. */
export type Message = Buffer | Record<string, unknown>;

/** The API on a port of its own, over a fake engine, a real database and a token of organization `acme`. Dispose it. */
export class ApiFixture<Service extends FakeService = FakeService> implements AsyncDisposable {
  readonly service: Service;
  readonly repository: Repository;
  readonly app: FastifyInstance;
  readonly url: string;
  readonly token: string;
  readonly org: OrgRow;
  /** Everything that was logged. */
  readonly log: string[];
  /** What everything logs with. */
  readonly logger: Logger;
  readonly #dir: string;

  constructor(
    parts: Pick<ApiFixture<Service>, 'service' | 'repository' | 'app' | 'url' | 'token' | 'org' | 'log' | 'logger'>,
    dir: string,
  ) {
    this.service = parts.service;
    this.repository = parts.repository;
    this.app = parts.app;
    this.url = parts.url;
    this.token = parts.token;
    this.org = parts.org;
    this.log = parts.log;
    this.logger = parts.logger;
    this.#dir = dir;
  }

  static open(options: Partial<Pick<ApiDeps, 'limits' | 'ready'>> = {}): Promise<ApiFixture> {
    return ApiFixture.over(new FakeService(), options);
  }

  static async over<Service extends FakeService>(
    service: Service,
    options: Partial<Pick<ApiDeps, 'limits' | 'ready'>> = {},
  ): Promise<ApiFixture<Service>> {
    const dir = await mkdtemp(join(tmpdir(), 'sylph-api-'));
    const repository = openSqliteRepository(join(dir, 'sylph.db'));
    const token = await createToken(repository, { org: 'acme', description: 'test', expiresAt: null });
    const log: string[] = [];
    const logger = pino({ level: 'trace', mixin: requestIdMixin }, { write: (line: string) => void log.push(line) });
    const app = buildApi({
      service,
      repository,
      host: async () => host,
      logger,
      version: '0.1.0',
      spriteUrl: (name, suffix, port) => `http://${port ? `${port}--` : ''}${name}-${suffix}.test`,
      domain: 'test',
      ready: () => true,
      ...options,
    });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    return new ApiFixture(
      { service, repository, app, url, token, org: await repository.ensureOrg('acme'), log, logger },
      dir,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
    await this.repository[Symbol.asyncDispose]();
    await rm(this.#dir, { recursive: true });
  }

  /** A request with the token; a body that is no text is sent as JSON. A refusal has to say what, why, and what to do next. */
  async request(
    method: string,
    path: string,
    options: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { body } = options;
    const init: RequestInit = { method, headers: { authorization: `Bearer ${this.token}`, ...options.headers } };
    if (body !== undefined) init.body = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${this.url}${path}`, init);
    if (response.status >= 400 && method !== 'HEAD')
      assertErrorBody(await response.clone().json(), `${method} ${path}`);
    return response;
  }

  /** A request and its JSON answer. */
  async json(
    method: string,
    path: string,
    options: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<{ status: number; body: Json; headers: Headers }> {
    const response = await this.request(method, path, options);
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text), headers: response.headers };
  }

  /** A request and the lines of its NDJSON answer. */
  async lines(
    method: string,
    path: string,
    options: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<{ status: number; lines: Json[] }> {
    const response = await this.request(method, path, options);
    const text = await response.text();
    return {
      status: response.status,
      lines: text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    };
  }

  /** A sprite that is awake. */
  async sprite(name = 'one'): Promise<string> {
    await this.service.create(this.org, { name });
    await this.service.start(this.org, name);
    return name;
  }

  socket(path: string, headers: Record<string, string> = {}): TestSocket {
    return new TestSocket(`${this.url.replace('http', 'ws')}${path}`, {
      authorization: `Bearer ${this.token}`,
      ...headers,
    });
  }
}

/** A WebSocket client that remembers everything in order. */
export class TestSocket {
  readonly raw: WebSocket;
  readonly messages: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Resolves with the status: 101, or that of the refusal with its body. */
  readonly opened: Promise<{ status: number; headers: Record<string, unknown>; body: Json }>;
  #arrived = Promise.withResolvers<void>();

  constructor(url: string, headers: Record<string, string>) {
    this.raw = new WebSocket(url, { headers, perMessageDeflate: true });
    this.raw.on('message', (data, isBinary) => {
      this.messages.push(
        isBinary ? (data as Buffer) : (JSON.parse((data as Buffer).toString()) as Record<string, unknown>),
      );
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    });
    this.closed = new Promise((resolve) => {
      this.raw.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#arrived.resolve();
      });
    });
    this.opened = new Promise((resolve, reject) => {
      this.raw.on('upgrade', (response) => resolve({ status: 101, headers: response.headers, body: undefined }));
      this.raw.on('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          try {
            assertErrorBody(JSON.parse(text), url);
          } catch (error) {
            reject(error);
          }
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) });
          this.raw.terminate();
        });
      });
      this.raw.on('error', () => {});
    });
  }

  /** Resolves once `test` holds for what has arrived. */
  async until(test: (messages: Message[]) => boolean): Promise<Message[]> {
    while (!test(this.messages)) {
      if (this.raw.readyState === WebSocket.CLOSED)
        throw new Error(`closed before that: ${JSON.stringify(this.messages)}`);
      await this.#arrived.promise;
    }
    return this.messages;
  }

  /** Messages as short texts: `1:hi` for stdout, `3:0` for an exit, `session_info` for a control message. */
  get brief(): string[] {
    return this.messages.map((message) =>
      Buffer.isBuffer(message)
        ? `${message[0]}:${message[0] === 3 ? message[1] : message.subarray(1).toString()}`
        : String(message['type']),
    );
  }

  send(message: string | Buffer | object): void {
    this.raw.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }
}

/** A stdin frame. */
export const stdin = (text: string): Buffer => Buffer.concat([Buffer.from([0]), Buffer.from(text)]);

/** Resolves once `test` holds, looked at every few milliseconds; rejects after 5 s. */
export async function eventually(test: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await test()); waitedMs += 5) {
    if (waitedMs > 5_000) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
