import type {
  JobOptions,
  ProcessStream,
  Session,
  SessionEnd,
  SessionEvent,
  SessionRequest,
  StopCause,
} from '@sylph/engine';
import { type SignalName, type StartedPayload, SylphError } from '@sylph/model';
import { type Connection, follow } from './follow.ts';
import { SessionInput } from './input.ts';
import { Journal } from './journal/journal.ts';
import type { SessionManifest } from './manifest.ts';
import type { PumpTarget } from './pump.ts';
import { Rate } from './rate.ts';
import { SessionRecord } from './record.ts';
import { Stopping } from './stopping.ts';

/** What a session tells the sprite it belongs to. */
export interface SessionHost {
  /** Clients came or went. */
  onClients(session: LiveSession): void;
  /** `nowMs` of `performance.now`. */
  onOutput(nowMs: number): void;
  /** It ended. Called once, before its record says so on disk. */
  onEnd(session: LiveSession): void;
  /** Something for the log. */
  notice(message: string, fields: Record<string, unknown>): void;
}

/** Where a session is kept. */
interface SessionFiles {
  manifest: SessionManifest;
  record: SessionRecord;
  journal: Journal;
}

/** {@link Session} with its pump, journal and record. */
export class LiveSession implements Session, PumpTarget {
  readonly id: string;
  readonly request: SessionRequest;
  readonly createdAt: Date;
  readonly ended: Promise<SessionEnd>;
  readonly journal: Journal;
  readonly input: SessionInput;
  readonly #record: SessionRecord;
  readonly #host: SessionHost;
  readonly #rate = new Rate();
  readonly #stopping: Stopping;
  readonly #settleEnded: (end: SessionEnd) => void;
  /** Resolves when the process runs, or ended without. */
  readonly #begun = Promise.withResolvers<void>();
  /** Fires when it ended or was closed: nothing follows the process any more. */
  readonly #over = new AbortController();
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  #following: Promise<void> = Promise.resolve();
  #stream: ProcessStream | undefined;
  #notified: boolean;
  #pid: number;
  #resolvedPath: string;
  #size: { cols: number; rows: number } | null;
  #sizeChanged = false;
  #lastActivityMs: number;
  #clients = 0;
  /** Clients under which the sprite may sleep. */
  #quietClients = 0;
  #end: SessionEnd | undefined;

  private constructor({ manifest, record, journal }: SessionFiles, host: SessionHost, inputOrigin: number | undefined) {
    this.id = manifest.id;
    this.request = manifest.request;
    this.createdAt = new Date(manifest.createdAt);
    this.journal = journal;
    this.#record = record;
    this.#host = host;
    this.#pid = manifest.pid;
    this.#resolvedPath = manifest.resolvedPath;
    this.#size = manifest.request.tty;
    this.#lastActivityMs = this.createdAt.getTime();
    this.#notified = manifest.notified ?? false;
    this.input = new SessionInput({ origin: inputOrigin });
    journal.onFailed = (error) =>
      host.notice('a journal cannot be written; its process is held back until it can', {
        session: this.id,
        err: error,
      });
    this.#stopping = new Stopping({
      signal: (signal) => this.signal(signal),
      unwatchedSignal: this.request.tty === null ? 'TERM' : 'HUP',
      onFailed: (signal, error) =>
        host.notice('a session that is to end could not be signalled', { session: this.id, signal, err: error }),
    });
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.#settleEnded = resolve;
    if (manifest.end !== undefined) this.#conclude(manifest.end);
    else {
      this.#watch();
      if (manifest.request.job !== undefined) this.#beginJob(manifest.request.job);
    }
  }

  /** A session that is about to start. Its record is being written from now on: {@link created}. `dir` does not exist yet. */
  static create(id: string, request: SessionRequest, dir: string, host: SessionHost): LiveSession {
    const manifest: SessionManifest = {
      version: 1,
      id,
      request,
      createdAt: new Date().toISOString(),
      pid: 0,
      resolvedPath: request.path,
    };
    if (request.transient === true)
      return new LiveSession({ manifest, record: SessionRecord.none(), journal: Journal.inMemory() }, host, 0);
    const record = SessionRecord.create(dir, manifest);
    return new LiveSession({ manifest, record, journal: Journal.create(dir, record) }, host, 0);
  }

  /** A session from its record and the journal beside it. */
  static async recover(manifest: SessionManifest, dir: string, host: SessionHost): Promise<LiveSession> {
    const journal = await Journal.recover(dir);
    return new LiveSession({ manifest, record: SessionRecord.found(dir), journal }, host, manifest.inputOffset);
  }

  /** Resolves once its first record is durable against a daemon crash. Rejects when it cannot be written. */
  get created(): Promise<void> {
    return this.#record.created;
  }

  /** Resolves once its newest record is; a full disk can make that late. Rejects when it is closed before. */
  get recorded(): Promise<void> {
    return this.#record.newest;
  }

  get pid(): number {
    return this.#pid;
  }

  get resolvedPath(): string {
    return this.#resolvedPath;
  }

  get size(): { cols: number; rows: number } | null {
    return this.#size;
  }

  get lastActivityAt(): Date {
    return new Date(this.#lastActivityMs);
  }

  get endOffset(): number {
    return this.journal.end;
  }

  get bytesPerSecond(): number {
    return this.#rate.bytesPerSecond(performance.now());
  }

  get clients(): number {
    return this.#clients;
  }

  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** Somebody is attached or reads. */
  get inUse(): boolean {
    return this.#clients > 0 || this.#quietClients > 0 || this.journal.readers > 0;
  }

  /** A job whose end somebody wants to hear of who has not. */
  get wantsNotice(): boolean {
    return !this.#notified && (this.request.job?.notify ?? null) !== null;
  }

  /** The record as it is now. */
  get manifest(): SessionManifest {
    return {
      version: 1,
      id: this.id,
      request: this.request,
      createdAt: this.createdAt.toISOString(),
      pid: this.#pid,
      resolvedPath: this.#resolvedPath,
      ...(this.#end === undefined ? {} : { end: this.#end }),
      ...(this.#notified ? { notified: true } : {}),
      ...(this.#end === undefined || this.input.offset === undefined ? {} : { inputOffset: this.input.offset }),
    };
  }

  read(options: { offset: number; signal: AbortSignal }): AsyncIterable<SessionEvent> {
    return this.journal.read<SessionEvent>({
      ...options,
      before: () => this.created,
      last: () => (this.#end === undefined ? undefined : { type: 'end', end: this.#end }),
      after: () => this.#host.onClients(this),
    });
  }

  attach({ awake }: { awake: boolean } = { awake: true }): Disposable {
    this.#count(awake, 1);
    this.#stopping.watched();
    this.#host.onClients(this);
    let attached = true;
    return {
      [Symbol.dispose]: () => {
        if (!attached) return;
        attached = false;
        this.#count(awake, -1);
        this.#watch();
        this.#host.onClients(this);
      },
    };
  }

  async inputOffset({ signal }: { signal: AbortSignal }): Promise<number | undefined> {
    await untilAborted(this.input.placed, signal);
    return this.input.offset;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (!this.request.stdin) return Promise.resolve();
    this.#lastActivityMs = Date.now();
    return this.input.write(bytes);
  }

  endInput(): void {
    this.input.end();
  }

  resize(size: { cols: number; rows: number }): void {
    if (this.#size === null || this.#end !== undefined) return;
    this.#size = size;
    if (this.#stream === undefined) this.#sizeChanged = true;
    else this.#stream.resize(size);
  }

  async signal(signal: SignalName): Promise<void> {
    if (this.#end !== undefined) throw exited(this.id);
    const connection = this.#connection;
    if (connection === undefined)
      throw new SylphError('not_ready', `session ${this.id} cannot be signalled: its sprite does not answer now`);
    await Promise.race([this.#begun.promise, this.#following]);
    if (this.#end !== undefined) throw exited(this.id);
    try {
      await connection.channel.signalProcess(this.id, signal);
    } catch (error) {
      const { code } = SylphError.from(error);
      if (code === 'session_exited' || code === 'session_not_found') throw exited(this.id);
      throw error;
    }
  }

  stop(signal: SignalName, cause: StopCause): Promise<void> {
    return this.#stopping.stop(signal, cause);
  }

  /** Goes on over a connection; `stream` is the one that starts the process, none attaches where the journal ends. */
  connect(connection: Connection, stream?: ProcessStream): void {
    const own: Connection = {
      channel: connection.channel,
      signal: AbortSignal.any([connection.signal, this.#over.signal]),
    };
    this.#connection = own;
    this.#stopping.release();
    this.#following = this.#follow(own, stream);
  }

  /** Resolves when nothing uses the connection any more; its signal has fired. */
  async disconnected(): Promise<void> {
    this.#stopping.hold();
    await this.#following;
  }

  /** Ends it without anybody knowing an exit code. No effect after its end. */
  lose(reason: string): void {
    this.#finish({ how: 'lost', reason, at: new Date().toISOString() });
  }

  /** It {@link wantsNotice} no more. */
  async markNotified(): Promise<void> {
    this.#notified = true;
    await this.#record.replace(this.manifest);
  }

  /** Makes journal and record durable against a loss of power. */
  async sync(): Promise<void> {
    await this.#record.sync();
    await this.journal.sync();
  }

  /** Leaves its directory alone from now on, whether or not all is written; readers go on. It has ended, or its guest is out of reach. */
  async freeze(): Promise<void> {
    this.#closing.abort();
    await this.#record.newest.catch(() => {}); // what is not recorded is about to be removed anyway
    await this.journal.freeze();
  }

  /** Renames its directory; it is frozen. */
  async moveTo(dir: string): Promise<void> {
    await this.#record.moveTo(dir);
    this.journal.movedTo(dir);
  }

  /** Closes it and removes its directory. */
  async remove(): Promise<void> {
    await this.close();
    await this.#record.remove();
  }

  /** Lets go of files and timers; readers end. The process is left alone. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#over.abort();
    this.#stopping.close();
    this.input.close();
    await this.#following;
    await this.#record.newest.catch(() => {}); // the host had notice
    await this.journal.close();
  }

  onStarted(started: StartedPayload, stream: ProcessStream): void {
    this.#pid = started.pid;
    this.#resolvedPath = started.path;
    this.#stream = stream;
    if (this.#sizeChanged && this.#size !== null) stream.resize(this.#size);
    this.#sizeChanged = false;
    this.#begun.resolve();
  }

  onOutput(bytes: number): void {
    const nowMs = performance.now();
    this.#rate.add(bytes, nowMs);
    this.#lastActivityMs = Date.now();
    this.#host.onOutput(nowMs);
  }

  onDetached(): void {
    this.#stream = undefined;
  }

  async #follow(connection: Connection, stream: ProcessStream | undefined): Promise<void> {
    const end = await follow(connection, this.id, stream, this);
    if (this.#connection === connection) this.#connection = undefined;
    if (end === undefined || this.#end !== undefined) return;
    // A client that only looks at the output sees why there is none.
    if (end.how === 'not-started') this.journal.append('stderr', Buffer.from(`sylph: ${end.reason}\n`), Date.now());
    this.#finish(end);
  }

  #finish(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    const { cause } = this.#stopping;
    this.#conclude(end.how === 'exited' && cause !== undefined ? { ...end, cause } : end);
    this.#record.end(() => this.manifest, this.journal, {
      signal: this.#closing.signal,
      onLate: (error) =>
        this.#host.notice('the end of a session cannot be recorded yet', { session: this.id, err: error }),
    });
    this.#host.onEnd(this);
  }

  #conclude(end: SessionEnd): void {
    this.#end = end;
    this.#over.abort();
    this.#stopping.close();
    this.input.close();
    this.journal.finish();
    this.#begun.resolve();
    this.#settleEnded(end);
  }

  #count(awake: boolean, change: 1 | -1): void {
    if (awake) this.#clients += change;
    else this.#quietClients += change;
  }

  /** Nobody is attached: its time runs. */
  #watch(): void {
    const { maxRunAfterDisconnectMs } = this.request;
    if (this.#clients + this.#quietClients === 0 && maxRunAfterDisconnectMs !== null)
      this.#stopping.unwatched(maxRunAfterDisconnectMs);
  }

  /** Gives a job its input, again from where the guest has it. */
  #beginJob({ input, timeoutMs }: JobOptions): void {
    if (timeoutMs !== null) this.#stopping.limit(timeoutMs);
    if (!this.request.stdin) return;
    void this.input.placed.then(() => {
      void this.input.write(Buffer.from(input).subarray(this.input.offset));
      this.input.end();
    });
  }
}

/** Waits for work, or until the signal fires. */
async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([work, aborted.promise]);
  signal.removeEventListener('abort', onAbort);
}

function exited(id: string): SylphError {
  return new SylphError('session_exited', `session ${id} has ended`);
}
