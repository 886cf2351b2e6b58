import type { HostInfo } from '@sylph/model';
import { Checkpoints } from './checkpoints.ts';
import { Domains } from './domains.ts';
import { collect, type CommandResult } from './exec/collect.ts';
import { httpExec, type HttpExec } from './exec/http.ts';
import { commandQuery, execQuery, type AttachRequest, type CommandRequest, type ExecRequest } from './exec/request.ts';
import { ExecSession } from './exec/session.ts';
import { SpriteFiles } from './files/files.ts';
import { Http, segment } from './http.ts';
import { isObject } from './json.ts';
import { Jobs } from './jobs.ts';
import { Links } from './links.ts';
import { resolveOptions, type ClientOptions } from './options.ts';
import { Policies } from './policies.ts';
import { PortConnection, type PortTarget } from './ports/connection.ts';
import { watchPorts, type PortChange } from './ports/watch.ts';
import { Services } from './services.ts';
import { Sessions } from './sessions.ts';
import { SshKeys } from './ssh-keys.ts';
import { Sprites, unexpected, type CallOptions } from './sprites.ts';

/** Longest stdout and stderr {@link SylphClient.run} takes, bytes. */
const maxCollectedBytes = 64 * 2 ** 20;

/** Input of a command that is run to its end. */
export type InputSource = Uint8Array | string | AsyncIterable<Uint8Array>;

/**
 * Client of one server. Holds no connection between calls. Everything throws ClientError, or the reason of an aborted signal; every wait has a deadline.
 * It needs fetch, web streams and signals of its platform; sockets are the transport's.
 */
export class SylphClient {
  readonly sprites: Sprites;
  readonly checkpoints: Checkpoints;
  readonly sessions: Sessions;
  readonly jobs: Jobs;
  readonly services: Services;
  readonly policies: Policies;
  readonly links: Links;
  readonly domains: Domains;
  readonly sshKeys: SshKeys;
  readonly #http: Http;

  constructor(options: ClientOptions) {
    this.#http = new Http(resolveOptions(options));
    this.sprites = new Sprites(this.#http);
    this.checkpoints = new Checkpoints(this.#http);
    this.sessions = new Sessions(this.#http);
    this.jobs = new Jobs(this.#http);
    this.services = new Services(this.#http);
    this.policies = new Policies(this.#http);
    this.links = new Links(this.#http);
    this.domains = new Domains(this.#http);
    this.sshKeys = new SshKeys(this.#http);
  }

  get baseUrl(): string {
    return this.#http.options.baseUrl;
  }

  /** Machine, pool, images, notices. */
  async host(options: CallOptions = {}): Promise<HostInfo> {
    const answer = await this.#http.json('/v1/host', options);
    if (!isObject(answer)) throw unexpected('a description of the host');
    return answer as unknown as HostInfo;
  }

  /** Resolves when the server is ready. Needs no token. */
  async health(options: CallOptions & { timeoutMs?: number } = {}): Promise<void> {
    await this.#http.text('/healthz', options);
  }

  /** The server's OpenAPI document. Needs no token. */
  openapi(options: CallOptions = {}): Promise<unknown> {
    return this.#http.json('/openapi.json', options);
  }

  /** The files of a sprite. */
  files(sprite: string): SpriteFiles {
    return new SpriteFiles(this.#http, sprite);
  }

  /** Starts a command over a WebSocket; wakes the sprite. Resolves when the server has named its session. */
  exec(sprite: string, request: ExecRequest): Promise<ExecSession> {
    const tty = request.tty !== undefined;
    const stdin = request.stdin ?? tty;
    return this.#open(sprite, '', execQuery(request), { watch: request, tty, offset: 0, stdin });
  }

  /** Takes up a running session, from its scrollback or an output offset. */
  attach(sprite: string, id: string, request: AttachRequest = {}): Promise<ExecSession> {
    const query = new URLSearchParams({ stdin: String(request.stdin ?? true) });
    if (request.offset !== undefined) query.append('offset', String(request.offset));
    return this.#open(sprite, `/${segment(id)}`, query, {
      watch: request,
      tty: false,
      offset: request.offset,
      stdin: request.stdin ?? true,
    });
  }

  /** Runs a command to its end over a WebSocket and returns what it said, at most 64 MiB of each stream. */
  async run(sprite: string, request: ExecRequest & { input?: InputSource | undefined }): Promise<CommandResult> {
    const { input, ...rest } = request;
    const session = await this.exec(sprite, { ...rest, stdin: input !== undefined });
    const feeding = input === undefined ? Promise.resolve() : feed(session, toChunks(input));
    feeding.catch(() => undefined); // A failing source ends the session below; a failing session rejects the collecting.
    try {
      return await Promise.race([
        collect(session, maxCollectedBytes),
        feeding.then(() => new Promise<never>(() => undefined)),
      ]);
    } finally {
      await session.close();
    }
  }

  /** Starts a command over HTTP POST. The request is sent when `output` is first read. */
  execHttp(sprite: string, request: CommandRequest & CallOptions & { input?: InputSource | undefined }): HttpExec {
    const query = commandQuery(request);
    if (request.input !== undefined) query.append('stdin', 'true');
    const url = this.#http.url(`/v1/sprites/${segment(sprite)}/exec`);
    url.search = query.toString();
    return httpExec(this.#http.options, {
      url,
      body: request.input === undefined ? undefined : toChunks(request.input),
      signal: request.signal,
    });
  }

  /** {@link execHttp}, run to its end. */
  runHttp(
    sprite: string,
    request: CommandRequest & CallOptions & { input?: InputSource | undefined },
  ): Promise<CommandResult> {
    return collect(this.execHttp(sprite, request), maxCollectedBytes);
  }

  /** Connects to a TCP port inside a sprite, which it wakes and then keeps awake. Throws `port_unreachable` when nobody answers there. */
  dial(sprite: string, target: PortTarget, options: CallOptions = {}): Promise<PortConnection> {
    const url = this.#http.url(`/v1/sprites/${segment(sprite)}/proxy`);
    return PortConnection.open(this.#http.options, url, target, options.signal);
  }

  /** All ports somebody listens on inside a sprite, then each change; wakes it. Ends by `signal`, whose reason it throws, or with an error. */
  watchPorts(sprite: string, options: CallOptions = {}): AsyncGenerator<PortChange, void, undefined> {
    return watchPorts(this.#http.options, this.#http.url(`/v1/sprites/${segment(sprite)}/ports/watch`), options.signal);
  }

  #open(
    sprite: string,
    path: string,
    query: URLSearchParams,
    start: { watch: ExecRequest | AttachRequest; tty: boolean; offset: number | undefined; stdin: boolean },
  ): Promise<ExecSession> {
    const base = `/v1/sprites/${segment(sprite)}/exec`;
    const url = this.#http.url(base + path);
    url.search = query.toString();
    return ExecSession.open({
      options: this.#http.options,
      url,
      resumeUrl: (id, offset) =>
        this.#http.url(`${base}/${segment(id)}`, { stdin: String(start.stdin), offset: String(offset) }),
      ...start,
    });
  }
}

async function feed(session: ExecSession, input: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of input) await session.stdin.write(bytes);
  await session.stdin.end();
}

async function* toChunks(input: InputSource): AsyncGenerator<Uint8Array, void, undefined> {
  if (typeof input === 'string') yield new TextEncoder().encode(input);
  else if (input instanceof Uint8Array)
    for (let at = 0; at < input.length; at += 65_536) yield input.subarray(at, at + 65_536);
  else yield* input;
}
