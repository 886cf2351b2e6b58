import type * as api from '@sylph/model';
import type { CreatedJob, ForkRequest, Job, Sprite as SpriteRecord, StreamLine } from '@sylph/model';
import type { SylphClient } from '../client.ts';
import { ClientError } from '../errors.ts';
import { collect, type CommandResult } from '../exec/collect.ts';
import type { SpriteFiles } from '../files/files.ts';
import type { JobLogOptions, JobOutput, JobRequest } from '../jobs.ts';
import type { PortConnection, PortTarget } from '../ports/connection.ts';
import type { PortChange } from '../ports/watch.ts';
import type { ServiceRequest } from '../services.ts';
import type { CallOptions, RepeatableOptions } from '../sprites.ts';
import { openCommand, type CommandTarget } from './command-run.ts';
import {
  checkpointInfo,
  killEvent,
  resourcesInfo,
  serviceInfo,
  serviceLog,
  sessionInfo,
  spriteInfo,
  streamMessage,
} from './convert.ts';
import { durationMs } from './duration.ts';
import { ExecError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import { SpriteFilesystem } from './filesystem.ts';
import { toUpdateRequest } from './requests.ts';
import type {
  Checkpoint,
  ExecOptions,
  ExecResult,
  HTTPExecOptions,
  NetworkPolicy,
  Platform,
  PrivilegesPolicy,
  ResourcesPolicy,
  RestartSpriteResult,
  ServiceLogEvent,
  ServiceWithState,
  Session,
  SessionKillEvent,
  SpawnOptions,
  SpriteCheck,
  SpriteConfig,
  StreamMessage,
  UpdateSpriteOptions,
  URLSettings,
} from './types.ts';

/** Most bytes of stdout, and of stderr, that `exec` takes unless told otherwise: as the npm SDK. */
const defaultMaxBuffer = 10 * 2 ** 20;

/** What a handle needs of its client. */
export interface HandleOwner {
  readonly sylph: SylphClient;
  readonly baseURL: string;
  readonly token: string;
  /** A handle like the one that asks. */
  sprite(name: string): unknown;
}

/** What a platform makes of a command. */
export interface HandlePlatform<Command, Bytes extends Uint8Array, Encoding extends string> extends Platform<
  Bytes,
  Encoding
> {
  /** Starts it. */
  spawn(target: CommandTarget): Command;
}

/**
 * A sprite by its name, in the shape of the npm SDK and with what Sylph has beyond it. Making one asks nobody; the fields about it are there when it came from an answer. Every method takes an `AbortSignal` in its last
 * argument. Each is a call of {@link SylphClient}, whose errors it throws.
 */
export class SpriteHandle<Command, Bytes extends Uint8Array, Encoding extends string> {
  readonly name: string;
  readonly client: HandleOwner;
  id: string | undefined;
  organizationName: string | undefined;
  status: string | undefined;
  config: SpriteConfig | undefined;
  environment: Record<string, string> | undefined;
  createdAt: Date | undefined;
  updatedAt: Date | undefined;
  url: string | undefined;
  urlSettings: URLSettings | undefined;
  version: string | undefined;
  environmentVersion: string | undefined;
  labels: string[] = [];
  lastRunningAt: Date | undefined;
  lastWarmingAt: Date | undefined;
  readonly #platform: HandlePlatform<Command, Bytes, Encoding>;

  constructor(name: string, client: HandleOwner, platform: HandlePlatform<Command, Bytes, Encoding>) {
    this.name = name;
    this.client = client;
    this.#platform = platform;
  }

  /** Takes over what an answer says. */
  adopt(record: SpriteRecord): this {
    const { organization, name: _name, ...fields } = spriteInfo(record);
    return Object.assign(this, fields, { organizationName: organization });
  }

  /** Starts a command; its object is there at once. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): Command {
    return this.#platform.spawn({ client: this.#sylph, sprite: this.name, argv: [command, ...args], options });
  }

  /** Starts a command in a terminal, whose session lives on without clients. */
  createSession(command: string, args: readonly string[] = [], options: SpawnOptions = {}): Command {
    return this.spawn(command, args, { ...options, detachable: true, tty: true });
  }

  /** Takes up a running session, with what its terminal shows. */
  attachSession(sessionId: string, options: SpawnOptions = {}): Command {
    return this.spawn('', [], { ...options, sessionId });
  }

  /** Runs a command line, divided at blanks: there is no shell. Rejects with {@link ExecError} for another code than 0. */
  exec(command: string, options: ExecOptions<Encoding> = {}): Promise<ExecResult<Bytes>> {
    const [file = '', ...args] = command.trim().split(/\s+/);
    return this.execFile(file, args, options);
  }

  /** Runs a program to its end. Rejects with {@link ExecError} for another code than 0. */
  async execFile(
    file: string,
    args: readonly string[] = [],
    options: ExecOptions<Encoding> = {},
  ): Promise<ExecResult<Bytes>> {
    const session = await openCommand({
      client: this.#sylph,
      sprite: this.name,
      argv: [file, ...args],
      options: { ...options, stdin: options.stdin ?? false },
    });
    try {
      return this.#result(await collect(session, options.maxBuffer ?? defaultMaxBuffer), options.encoding);
    } catch (thrown) {
      if (thrown instanceof ClientError && thrown.code === 'body_too_large') session.kill('TERM');
      throw thrown;
    } finally {
      await session.close();
    }
  }

  /** As {@link execFile}, with one HTTP request: no WebSocket, no coming back after a broken connection. */
  async execFileHTTP(
    file: string,
    args: readonly string[] = [],
    options: HTTPExecOptions<Encoding> = {},
  ): Promise<ExecResult<Bytes>> {
    const { cwd: dir, env, input, timeout, signal } = options;
    if (timeout !== undefined && !(Number.isFinite(timeout) && timeout >= 0))
      throw new TypeError('timeout must be a non-negative finite number');
    const signals = [signal, timeout === undefined ? undefined : AbortSignal.timeout(timeout)].filter(
      (each) => each !== undefined,
    );
    const ends = signals.length === 0 ? undefined : AbortSignal.any(signals);
    const command = this.#sylph.execHttp(this.name, { cmd: [file, ...args], dir, env, input, signal: ends });
    return this.#result(await collect(command, options.maxBuffer ?? defaultMaxBuffer), options.encoding);
  }

  async listSessions(options: CallOptions = {}): Promise<Session[]> {
    return (await this.#sylph.sessions.list(this.name, options)).map(sessionInfo);
  }

  /** Sends a signal, default TERM, and KILL after `timeout`, default `10s`. */
  killSession(
    sessionId: string,
    signal?: string,
    timeout?: string,
    options: CallOptions = {},
  ): Promise<EventStream<SessionKillEvent>> {
    const kill = { signalName: signal, timeoutMs: durationMs(timeout) };
    return EventStream.open(
      (signal) => mapped(this.#sylph.sessions.killStream(this.name, sessionId, { ...kill, signal }), killEvent),
      options.signal,
    );
  }

  /** All ports somebody listens on, then each change. */
  watchPorts(options: CallOptions = {}): Promise<EventStream<PortChange>> {
    return EventStream.open((signal) => this.#sylph.watchPorts(this.name, { signal }), options.signal);
  }

  /** Connects to a TCP port inside. */
  dial(target: PortTarget, options: CallOptions = {}): Promise<PortConnection> {
    return this.#sylph.dial(this.name, target, options);
  }

  /** Irreversible; its checkpoints go too. */
  delete(options: CallOptions = {}): Promise<void> {
    return this.#sylph.sprites.delete(this.name, options);
  }

  /** {@link delete}. */
  destroy(options: CallOptions = {}): Promise<void> {
    return this.delete(options);
  }

  async start(options: CallOptions = {}): Promise<this> {
    return this.adopt(await this.#sylph.sprites.start(this.name, options));
  }

  /** Puts it to sleep with its memory. */
  async suspend(options: CallOptions = {}): Promise<this> {
    return this.adopt(await this.#sylph.sprites.suspend(this.name, options));
  }

  /** A failed one: back to the best state there is. */
  async recover(options: CallOptions = {}): Promise<this> {
    return this.adopt(await this.#sylph.sprites.recover(this.name, options));
  }

  /** Restarts it into the newest kernel and agent. */
  async upgrade(options: CallOptions = {}): Promise<void> {
    await this.#sylph.sprites.upgrade(this.name, options);
  }

  async restart(options: CallOptions = {}): Promise<RestartSpriteResult> {
    const answer = await this.#sylph.sprites.restart(this.name, options);
    return { spriteName: answer.sprite_name, machineId: answer.machine_id, message: answer.message };
  }

  /** Asks its agent; never wakes it. */
  async check(options: CallOptions = {}): Promise<SpriteCheck> {
    const answer = await this.#sylph.sprites.check(this.name, options);
    const { status, reason, elapsed } = answer;
    const check: SpriteCheck = {
      spriteName: answer.sprite_name,
      spriteId: answer.sprite_id,
      status,
      checkedAt: new Date(answer.checked_at),
      elapsed,
    };
    return reason === undefined ? check : { ...check, reason };
  }

  /** Changes what is given; the handle then shows the answer. */
  async update(options: UpdateSpriteOptions): Promise<this> {
    const { signal, ...changes } = options;
    return this.adopt(await this.#sylph.sprites.update(this.name, toUpdateRequest(changes), { signal }));
  }

  async updateURLSettings(settings: URLSettings, options: CallOptions = {}): Promise<void> {
    await this.update({ urlSettings: settings, ...options });
  }

  /** New sprites from its present or from a checkpoint, all or none. */
  async fork(request: ForkRequest, options: RepeatableOptions = {}): Promise<this[]> {
    const records = await this.#sylph.sprites.fork(this.name, request, options);
    return records.map((record) => (this.client.sprite(record.name) as this).adopt(record));
  }

  /** Makes a checkpoint; what goes wrong on the way is the message `error`. */
  createCheckpoint(comment?: string, options: CallOptions = {}): Promise<EventStream<StreamMessage>> {
    return EventStream.open(
      (signal) => messages(this.#sylph.checkpoints.create(this.name, { comment, signal, throwErrors: false })),
      options.signal,
    );
  }

  /** Newest first. With `historyFilter` that checkpoint and what descends from it. */
  async listCheckpoints(historyFilter?: string, options: CallOptions = {}): Promise<Checkpoint[]> {
    return (await this.#sylph.checkpoints.list(this.name, { history: historyFilter, ...options })).map(checkpointInfo);
  }

  async getCheckpoint(id: string, options: CallOptions = {}): Promise<Checkpoint> {
    return checkpointInfo(await this.#sylph.checkpoints.get(this.name, id, options));
  }

  /** Goes back to one; `disk` boots afresh instead of going on with the memory. */
  restoreCheckpoint(
    id: string,
    options: { mode?: 'memory' | 'disk' | undefined } & CallOptions = {},
  ): Promise<EventStream<StreamMessage>> {
    const { mode } = options;
    return EventStream.open(
      (signal) => messages(this.#sylph.checkpoints.restore(this.name, id, { mode, signal, throwErrors: false })),
      options.signal,
    );
  }

  deleteCheckpoint(id: string, options: CallOptions = {}): Promise<void> {
    return this.#sylph.checkpoints.delete(this.name, id, options);
  }

  /** Starts a job in the background. */
  startJob(request: JobRequest, options: CallOptions = {}): Promise<CreatedJob> {
    return this.#sylph.jobs.start(this.name, request, options);
  }

  /** Newest first. */
  listJobs(options: CallOptions = {}): Promise<Job[]> {
    return this.#sylph.jobs.list(this.name, options);
  }

  getJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#sylph.jobs.get(this.name, id, options);
  }

  /** Its output, over broken connections; returns the job as it is in the end. */
  jobLogs(id: string, options: JobLogOptions = {}): AsyncGenerator<JobOutput, Job, undefined> {
    return this.#sylph.jobs.logs(this.name, id, options);
  }

  /** Waits for its end. */
  waitForJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#sylph.jobs.wait(this.name, id, options);
  }

  killJob(id: string, options: { signalName?: string | undefined } & CallOptions = {}): Promise<Job> {
    return this.#sylph.jobs.kill(this.name, id, options);
  }

  deleteJob(id: string, options: CallOptions = {}): Promise<void> {
    return this.#sylph.jobs.delete(this.name, id, options);
  }

  async listServices(options: CallOptions = {}): Promise<ServiceWithState[]> {
    return (await this.#sylph.services.list(this.name, options)).map(serviceInfo);
  }

  async getService(service: string, options: CallOptions = {}): Promise<ServiceWithState> {
    return serviceInfo(await this.#sylph.services.get(this.name, service, options));
  }

  /** Creates or replaces it, starts it, and tells what happens for `duration`, default `5s`. */
  createService(
    service: string,
    definition: ServiceRequest,
    duration?: string,
    options: CallOptions = {},
  ): Promise<EventStream<ServiceLogEvent>> {
    const windowMs = durationMs(duration);
    return this.#log(options, (signal) =>
      this.#sylph.services.put(this.name, service, definition, { windowMs, signal }),
    );
  }

  deleteService(service: string, options: CallOptions = {}): Promise<void> {
    return this.#sylph.services.delete(this.name, service, options);
  }

  startService(service: string, duration?: string, options: CallOptions = {}): Promise<EventStream<ServiceLogEvent>> {
    const windowMs = durationMs(duration);
    return this.#log(options, (signal) => this.#sylph.services.start(this.name, service, { windowMs, signal }));
  }

  /** TERM, and KILL after `timeout`, default `10s`. */
  stopService(service: string, timeout?: string, options: CallOptions = {}): Promise<EventStream<ServiceLogEvent>> {
    const timeoutMs = durationMs(timeout);
    return this.#log(options, (signal) => this.#sylph.services.stop(this.name, service, { timeoutMs, signal }));
  }

  restartService(service: string, duration?: string, options: CallOptions = {}): Promise<EventStream<ServiceLogEvent>> {
    const windowMs = durationMs(duration);
    return this.#log(options, (signal) => this.#sylph.services.restart(this.name, service, { windowMs, signal }));
  }

  /** The newest `lines`, default 100, and what comes within `duration`, default none; with `follow` until the reader leaves, over broken connections. */
  getServiceLogs(
    service: string,
    options: {
      lines?: number | undefined;
      duration?: string | undefined;
      follow?: boolean | undefined;
    } & CallOptions = {},
  ): Promise<EventStream<ServiceLogEvent>> {
    const { lines, follow = false } = options;
    const windowMs = durationMs(options.duration);
    return this.#log(options, (signal) =>
      this.#sylph.services.logs(this.name, service, { lines, windowMs, follow, signal }),
    );
  }

  signalService(service: string, signal: string, options: CallOptions = {}): Promise<void> {
    return this.#sylph.services.signal(this.name, service, signal, options);
  }

  /** What holds for it: its own policy, else that of its organization. */
  getNetworkPolicy(options: CallOptions = {}): Promise<NetworkPolicy> {
    return this.#sylph.policies.network(this.name, options);
  }

  /** In force when it resolves; connections it forbids are cut. */
  updateNetworkPolicy(policy: NetworkPolicy, options: CallOptions = {}): Promise<void> {
    // The server checks each rule, and says what does not fit.
    return this.#sylph.policies.setNetwork(this.name, policy as api.NetworkPolicy, options);
  }

  /** Its organization's holds again. */
  deleteNetworkPolicy(options: CallOptions = {}): Promise<void> {
    return this.#sylph.policies.resetNetwork(this.name, options);
  }

  getPrivilegesPolicy(options: CallOptions = {}): Promise<PrivilegesPolicy> {
    return this.#sylph.policies.privileges(this.name, options) as Promise<PrivilegesPolicy>;
  }

  updatePrivilegesPolicy(policy: PrivilegesPolicy, options: CallOptions = {}): Promise<void> {
    return this.#sylph.policies.setPrivileges(this.name, policy, options);
  }

  deletePrivilegesPolicy(options: CallOptions = {}): Promise<void> {
    return this.#sylph.policies.removePrivileges(this.name, options);
  }

  async getResourcesPolicy(options: CallOptions = {}): Promise<ResourcesPolicy> {
    return resourcesInfo(await this.#sylph.policies.resources(this.name, options));
  }

  updateResourcesPolicy({ memory }: ResourcesPolicy, options: CallOptions = {}): Promise<void> {
    const limits = memory && { limit_mb: memory.limitMB, autoscale: memory.autoscale };
    return this.#sylph.policies.setResources(this.name, limits ? { memory: limits } : {}, options);
  }

  deleteResourcesPolicy(options: CallOptions = {}): Promise<void> {
    return this.#sylph.policies.removeResources(this.name, options);
  }

  /** Its files as `node:fs/promises` has them. */
  filesystem(workingDir = '/'): SpriteFilesystem<Bytes> {
    return new SpriteFilesystem(this.#sylph.files(this.name), workingDir, this.#platform);
  }

  /** Its files as streams, with archives and uploads that go on after a broken connection. */
  get files(): SpriteFiles {
    return this.#sylph.files(this.name);
  }

  /** No: the server has no control connection, and every command has one of its own. */
  useControlMode(): boolean {
    return false;
  }

  /** As {@link useControlMode}. */
  hasControlConnection(): boolean {
    return false;
  }

  /** There is none to close. */
  closeControlConnection(): void {}

  get #sylph(): SylphClient {
    return this.client.sylph;
  }

  #log(
    { signal }: CallOptions,
    begin: (signal: AbortSignal) => Parameters<typeof mapped<Parameters<typeof serviceLog>[0], ServiceLogEvent>>[0],
  ): Promise<EventStream<ServiceLogEvent>> {
    return EventStream.open((ends) => mapped(begin(ends), serviceLog), signal);
  }

  #result({ exitCode, stdout, stderr }: CommandResult, encoding: Encoding | 'buffer' | undefined): ExecResult<Bytes> {
    const shown = (bytes: Uint8Array): string | Bytes =>
      encoding === 'buffer' ? this.#platform.bytes(bytes) : this.#platform.text(bytes, encoding ?? 'utf8');
    const result = { stdout: shown(stdout), stderr: shown(stderr), exitCode };
    if (exitCode !== 0) throw new ExecError(`Command failed with exit code ${exitCode}`, result);
    return result;
  }
}

async function* mapped<From, To>(
  source: AsyncIterable<From>,
  change: (from: From) => To,
): AsyncGenerator<To, void, undefined> {
  for await (const each of source) yield change(each);
}

function messages(lines: AsyncIterable<StreamLine>): AsyncGenerator<StreamMessage, void, undefined> {
  return mapped(lines, streamMessage);
}
