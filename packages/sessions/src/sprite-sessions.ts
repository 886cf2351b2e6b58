import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  GuestChannel,
  ProcessStream,
  Session,
  SessionPosition,
  SessionRequest,
  SpriteSessions,
} from '@sylph/engine';
import { type GuestProcess, type ProcessSpec, SylphError, isNoSpace, maxFramePayloadBytes } from '@sylph/model';
import { EndedJobs } from './ended-jobs.ts';
import { EndedShelf } from './ended-shelf.ts';
import { copySession, exportSession } from './export.ts';
import type { Connection } from './follow.ts';
import { type Found, findSessions, recoverSessions, scratchPath } from './find.ts';
import type { SessionManifest } from './manifest.ts';
import { LiveSession, type SessionHost } from './session.ts';
import { syncPath } from './sync-path.ts';
import { Throttle } from './throttle.ts';

/** Running sessions of one sprite. */
const maxRunning = 1000;

/** More output than any process can have made: what a hostile guest says must not become an offset. */
const maxOffset = 2 ** 47;

/** Least time between two calls of `onActivity`, ms. */
const activityMs = 100;

/** When processes nobody knows are looked for in a guest without sessions, ms after the start. */
const strangersMs = 2000;

/** Pauses between attempts to forget a process that was just killed, ms. */
const forgetMs = [50, 100, 200, 500, 1000, 2000, 5000] as const;

/** Notes of a keeper; pino's shape. */
export interface SessionLog {
  warn(fields: object, message: string): void;
}

export interface SpriteSessionsOptions {
  spriteId: string;
  /** Holds a directory per session; made when missing. */
  dir: string;
  nextId: () => Promise<string>;
  onActivity: () => void;
  /** Takes note, durably, that somebody wants to hear of a job's end. Called once it is recorded, and again by a later daemon when this one died before it resolved. */
  notify: (session: Session) => Promise<void>;
  log: SessionLog;
}

/** {@link SpriteSessions} with journals in files. */
export class JournaledSessions implements SpriteSessions, SessionHost {
  readonly #options: SpriteSessionsOptions;
  readonly #running = new Map<string, LiveSession>();
  readonly #ended = new EndedShelf<LiveSession>((session) => this.#discard(session));
  readonly #endedJobs: EndedJobs<LiveSession>;
  /** Replaced or over their time, with somebody still reading. */
  readonly #leaving = new Set<LiveSession>();
  readonly #activity: Throttle;
  readonly #background = new Set<Promise<void>>();
  readonly #removals = new Set<Promise<void>>();
  #connection: (Connection & { end: AbortController }) | undefined;
  #lastOutputAt = 0;
  #closed = false;

  private constructor(options: SpriteSessionsOptions) {
    this.#options = options;
    this.#activity = new Throttle(activityMs, options.onActivity);
    this.#endedJobs = new EndedJobs<LiveSession>({
      notify: options.notify,
      remove: (job) => this.#putAside(job),
      track: (work) => this.#track(this.#background, work),
      notice: (message, fields) => this.notice(message, fields),
    });
  }

  /** Loads what is in the directory; running sessions wait for `connect`. */
  static async open(options: SpriteSessionsOptions): Promise<JournaledSessions> {
    const sessions = new JournaledSessions(options);
    await mkdir(options.dir, { recursive: true, mode: 0o700 });
    const found = await recoverSessions(options.dir, (message, fields) => sessions.notice(message, fields));
    for (const one of found) await sessions.#load(one);
    return sessions;
  }

  async connect(channel: GuestChannel): Promise<void> {
    if (this.#connection !== undefined) throw new Error('connected already');
    // Listing is on the way of every start to its first output; without a session to go on with it can wait.
    const processes = this.#running.size > 0 ? await channel.processes() : undefined;
    const end = new AbortController();
    const connection = (this.#connection = { channel, signal: end.signal, end });
    void channel.broken.then(() => this.#cut(connection));
    if (processes === undefined) {
      this.#track(this.#background, this.#lookForStrangers(connection));
      return;
    }
    const known = new Map(processes.map((one) => [one.id, one]));
    for (const session of this.#running.values()) {
      const process = known.get(session.id);
      if (process === undefined) session.lose('the guest does not know its process');
      else this.#resume(session, process, connection);
    }
    this.#forgetStrangers(processes, connection);
  }

  async disconnect(): Promise<void> {
    if (this.#connection !== undefined) this.#cut(this.#connection);
    await Promise.all([...this.#running.values()].map((session) => this.#rest(session)));
  }

  positions(): SessionPosition[] {
    return [...this.#running.values()]
      .filter(({ request }) => request.transient !== true)
      .map(({ id, endOffset }) => ({ id, endOffset }));
  }

  async exportTo(dir: string, positions: readonly SessionPosition[]): Promise<void> {
    for (const { id, endOffset } of positions) {
      const session = this.get(id);
      if (session === undefined) continue;
      await session.created;
      await session.journal.flush();
      const { end: _end, notified: _notified, inputOffset: _inputOffset, ...manifest } = session.manifest;
      await exportSession(session.journal.dir, path.join(dir, id), manifest, endOffset);
    }
    await syncPath(dir);
  }

  async replaceFrom(dir: string | undefined, reason: string): Promise<void> {
    if (this.#connection !== undefined) throw new Error('sessions are replaced while disconnected');
    const found = dir === undefined ? [] : await findSessions(dir, (message, fields) => this.notice(message, fields));
    const copies = found.map(({ manifest, dir: from }) => ({ manifest, from, copy: scratchPath(this.#options.dir) }));
    // What can fail for want of space comes first: the present is still untouched.
    for (const { from, copy } of copies) await copySession(from, copy);
    const kept = new Set(copies.map(({ manifest }) => manifest.id));
    for (const session of this.#running.values()) if (!kept.has(session.id)) session.lose(reason);
    for (const session of this.#ended.clear()) await this.#putAside(session);
    // A removal under way goes by path and must not meet a new directory there.
    await Promise.all(this.#removals);
    for (const { manifest, copy } of copies) await this.#takeBack(manifest, copy, reason);
  }

  async lose(reason: string): Promise<void> {
    for (const session of this.#running.values()) session.lose(reason);
  }

  async start(request: SessionRequest): Promise<LiveSession> {
    this.#assertRoom();
    const id = await this.#options.nextId();
    const connection = this.#assertRoom();
    const spec = specOf(id, request);
    const session = LiveSession.create(id, request, this.#dirOf(id), this);
    let stream: ProcessStream;
    try {
      stream = connection.channel.startProcess(spec);
    } catch (error) {
      this.#discard(session);
      throw error;
    }
    this.#running.set(id, session);
    session.connect(connection, stream);
    try {
      await session.created;
    } catch (error) {
      this.#running.delete(id);
      this.#ended.delete(id);
      this.#endedJobs.take(id);
      this.#discard(session);
      this.#forgetStrangers([{ id, exited: false }], connection);
      throw new SylphError(
        isNoSpace(error) ? 'pool_full' : 'internal',
        `the record of session ${id} could not be written`,
        { cause: error },
      );
    }
    return session;
  }

  list(): LiveSession[] {
    return [...this.#running.values()];
  }

  get(id: string): LiveSession | undefined {
    return this.#running.get(id) ?? this.#ended.get(id) ?? this.#endedJobs.get(id);
  }

  jobs(): LiveSession[] {
    return [...this.#endedJobs.all(), ...this.list().filter(isJob)];
  }

  async removeJob(id: string): Promise<void> {
    const running = this.#running.get(id);
    if (running !== undefined && isJob(running))
      throw new SylphError('illegal_state', `job ${id} runs`, { hint: 'Kill it first, or wait for its end.' });
    const job = this.#endedJobs.take(id);
    if (job !== undefined) await this.#putAside(job);
  }

  activity(): { clients: number; jobs: number; lastOutputAt: number } {
    let clients = 0;
    let jobs = 0;
    for (const session of this.#running.values()) {
      clients += session.clients;
      if (isJob(session)) jobs += 1;
    }
    return { clients, jobs, lastOutputAt: this.#lastOutputAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.disconnect();
    this.#closed = true;
    const all = [...this.#running.values(), ...this.#ended.clear(), ...this.#endedJobs.close(), ...this.#leaving];
    await Promise.all(all.map((session) => session.close()));
    await Promise.all([...this.#background, ...this.#removals]);
    this.#activity.stop();
  }

  onClients(session: LiveSession): void {
    if (this.#closed) return;
    if (!session.inUse) {
      if (this.#leaving.has(session)) this.#discard(session);
      this.#ended.sweep();
    }
    this.#activity.call();
  }

  onOutput(nowMs: number): void {
    this.#lastOutputAt = nowMs;
    this.#activity.call();
  }

  onEnd(session: LiveSession): void {
    this.#running.delete(session.id);
    // Its place is taken by that of a snapshot: the end of this one is none to keep or to tell.
    if (this.#leaving.has(session)) return;
    if (isJob(session)) this.#endedJobs.add(session);
    else this.#ended.add(session);
    if (session.end?.how !== 'lost') this.#track(this.#background, this.#forgetEnded(session));
    this.#activity.call();
  }

  notice(message: string, fields: Record<string, unknown>): void {
    this.#options.log.warn({ sprite: this.#options.spriteId, ...fields }, message);
  }

  #resume(session: LiveSession, process: GuestProcess, connection: Connection): void {
    if (process.acked > maxOffset) {
      session.lose('the guest speaks of more output than there can be');
      return;
    }
    if (process.acked > session.endOffset) {
      this.notice('output that was acknowledged is missing from a journal; readers are told', {
        session: session.id,
        from: session.endOffset,
        to: process.acked,
      });
      session.journal.skipTo(process.acked);
    }
    session.connect(connection);
  }

  /**
   * Puts the session of a snapshot in the place of the present one of its id, if there is one, which ends as lost for those who read it. Who asks for the id meanwhile finds the one or the
   * other: a job that goes on is never missing and never seen as lost.
   */
  async #takeBack(manifest: SessionManifest, copy: string, reason: string): Promise<void> {
    const present = this.get(manifest.id);
    const dir = this.#dirOf(manifest.id);
    try {
      await present?.freeze();
      await present?.moveTo(scratchPath(this.#options.dir));
      await rename(copy, dir);
      const session = await LiveSession.recover(manifest, dir, this);
      if (present !== undefined) this.#leave(present, reason);
      this.#add(session);
    } catch (error) {
      if (present !== undefined) this.#leave(present, reason);
      throw error;
    }
  }

  /** Lets go of a session whose directory is another's now; it stays readable for those who read it. */
  #leave(session: LiveSession, reason: string): void {
    this.#leaving.add(session);
    session.lose(reason);
    this.#endedJobs.take(session.id);
    if (!session.inUse) this.#discard(session);
  }

  #cut(connection: Connection & { end: AbortController }): void {
    if (this.#connection === connection) this.#connection = undefined;
    connection.end.abort(new SylphError('agent_failed', 'the conversation with the guest is over'));
  }

  async #rest(session: LiveSession): Promise<void> {
    await session.disconnected();
    await session
      .sync()
      .catch((error: unknown) => this.notice('a journal could not be flushed', { session: session.id, err: error }));
  }

  async #load(found: Found): Promise<void> {
    this.#add(await LiveSession.recover(found.manifest, found.dir, this));
  }

  #add(session: LiveSession): void {
    if (session.end === undefined) this.#running.set(session.id, session);
    else if (isJob(session)) this.#endedJobs.add(session);
    else this.#ended.add(session, Math.max(0, Date.now() - Date.parse(session.end.at)));
  }

  #assertRoom(): Connection {
    if (this.#closed) throw new SylphError('shutting_down', 'the daemon is going down');
    if (this.#connection === undefined) throw new SylphError('not_ready', 'the sprite does not answer now');
    if (this.#running.size >= maxRunning) {
      throw new SylphError('too_many_sessions', `a sprite runs at most ${maxRunning} sessions`, {
        hint: 'End some of them: GET …/exec lists them, POST …/exec/{id}/kill ends one.',
      });
    }
    return this.#connection;
  }

  /** Once the record says how it ended, the guest need not remember. What fails here is made up for at the next `connect`. */
  async #forgetEnded(session: LiveSession): Promise<void> {
    try {
      await session.recorded;
      await this.#connection?.channel.forgetProcess(session.id);
    } catch (error) {
      if (this.#connection !== undefined)
        this.notice('the guest still remembers an ended process', { session: session.id, err: error });
    }
  }

  /** Processes without a session: of a start that was never acknowledged, of a lost session, or an ended one. */
  #forgetStrangers(processes: { id: string; exited: boolean }[], connection: Connection): void {
    const strangers = processes.filter((process) => !this.#running.has(process.id));
    const alive = strangers.filter((process) => !process.exited).map((process) => process.id);
    if (alive.length > 0)
      this.notice('processes without a session are killed', { count: alive.length, first: alive.slice(0, 10) });
    for (const process of strangers) this.#track(this.#background, this.#forgetStranger(process, connection));
  }

  async #lookForStrangers(connection: Connection): Promise<void> {
    const { channel, signal } = connection;
    try {
      await sleep(strangersMs, undefined, { signal });
      this.#forgetStrangers(await channel.processes(), connection);
    } catch (error) {
      if (!signal.aborted) this.notice('the processes of a guest could not be listed', { err: error });
    }
  }

  async #forgetStranger(process: { id: string; exited: boolean }, connection: Connection): Promise<void> {
    const { channel, signal } = connection;
    // Gone already, or out of reach; the next `connect` looks again.
    if (!process.exited) await channel.signalProcess(process.id, 'KILL').catch(() => {});
    for (const pauseMs of forgetMs) {
      try {
        await channel.forgetProcess(process.id);
        return;
      } catch {
        // It has not ended yet, or the guest is out of reach: tried again, at the latest at the next `connect`.
        if (signal.aborted) return;
        await sleep(pauseMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Out of the way of a session with the same id, but readable for those who read it. */
  async #putAside(session: LiveSession): Promise<void> {
    await session.freeze();
    await session.moveTo(scratchPath(this.#options.dir));
    this.#leaving.add(session);
    if (!session.inUse) this.#discard(session);
  }

  /** Removes a session that nobody reads. */
  #discard(session: LiveSession): void {
    this.#leaving.delete(session);
    this.#track(
      this.#removals,
      session
        .remove()
        .catch((error: unknown) => this.notice('a session could not be removed', { session: session.id, err: error })),
    );
  }

  /** Runs beside everything; awaited at the end. `work` does not reject. */
  #track(set: Set<Promise<void>>, work: Promise<void>): void {
    const done = work.finally(() => set.delete(done));
    set.add(done);
  }

  #dirOf(id: string): string {
    return path.join(this.#options.dir, id);
  }
}

function isJob(session: Session): boolean {
  return session.request.job !== undefined;
}

/** Throws `invalid_request` when it does not fit into the one frame it travels in. */
function specOf(id: string, request: SessionRequest): ProcessSpec {
  const { argv, path: program, env, dir, user, tty, stdin } = request;
  const spec: ProcessSpec = { id, argv, path: program, env, dir, user, tty, stdin };
  const bytes = Buffer.byteLength(JSON.stringify(spec));
  const maxBytes = maxFramePayloadBytes - 8;
  if (bytes > maxBytes) {
    throw new SylphError(
      'invalid_request',
      `the command with its environment takes ${bytes} bytes, more than ${maxBytes}`,
      { hint: 'Pass long scripts on standard input or as a file.' },
    );
  }
  return spec;
}
