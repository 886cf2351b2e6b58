import type { GuestChannel } from '../interfaces/guest-channel.ts';
import type { Session, SessionKeeper, SessionPosition, SpriteSessions } from '../interfaces/session-keeper.ts';
import { guarded, type Gate } from './gate.ts';
import type { MemoryFiles } from './memory-files.ts';
import type { NullChannel } from './null-channel.ts';

/** A session's record. */
interface Journal {
  endOffset: number;
  /** Why it was lost; null while it runs. */
  lost: string | null;
}

/** {@link SessionKeeper} whose journals are one line of JSON each, in the pool's files. */
export class NullKeeper implements SessionKeeper {
  /** Directories whose journals are open: no two keepers may write one. */
  readonly opened = new Map<string, NullSessions>();
  readonly #files: MemoryFiles;
  readonly #gate: Gate;

  constructor(files: MemoryFiles, gate: Gate) {
    this.#files = files;
    this.#gate = gate;
  }

  async open(options: { dir: string; nextId: () => Promise<string>; onActivity: () => void }): Promise<SpriteSessions> {
    if (this.opened.has(options.dir)) throw new Error(`${options.dir} is opened twice`);
    const sessions = new NullSessions(this.#files, options, () => this.opened.delete(options.dir));
    this.opened.set(options.dir, sessions);
    return guarded('sessions', sessions, this.#gate, ['positions', 'list', 'get', 'jobs', 'activity']);
  }
}

/** The sessions of one sprite; tests set clients and output by hand. */
export class NullSessions implements SpriteSessions {
  readonly dir: string;
  clients = 0;
  runningJobs = 0;
  lastOutputAt = Number.NEGATIVE_INFINITY;
  readonly #files: MemoryFiles;
  readonly #nextId: () => Promise<string>;
  readonly #onActivity: () => void;
  readonly #onClose: () => void;
  #channel: GuestChannel | undefined;

  constructor(
    files: MemoryFiles,
    options: { dir: string; nextId: () => Promise<string>; onActivity: () => void },
    onClose: () => void,
  ) {
    this.dir = options.dir;
    this.#files = files;
    this.#nextId = options.nextId;
    this.#onActivity = options.onActivity;
    this.#onClose = onClose;
  }

  /** Ids and records, running and lost. */
  journals(): Map<string, Journal> {
    return new Map(
      this.#files
        .under(this.dir)
        .map((id) => [id, JSON.parse(this.#files.read(`${this.dir}/${id}`) as string) as Journal]),
    );
  }

  /** Starts a process in the guest; resolves with its session's id. */
  async run(): Promise<string> {
    const id = await this.#nextId();
    const channel = this.#channel as NullChannel | undefined;
    if (!channel) throw new Error('sessions are not connected');
    if (this.journals().has(id)) throw new Error(`session ${id} exists already`);
    channel.machine.memory.processes.push(id);
    this.#write(id, { endOffset: 0, lost: null });
    return id;
  }

  /** A client comes (1) or goes (-1). */
  attach(change: 1 | -1): void {
    this.clients += change;
    this.#onActivity();
  }

  async connect(channel: GuestChannel): Promise<void> {
    const known = new Set((await channel.processes()).map(({ id }) => id));
    for (const [id, journal] of this.journals())
      if (journal.lost === null && !known.has(id)) this.#write(id, { ...journal, lost: 'the guest does not know it' });
    for (const id of known) if (this.journals().get(id)?.lost !== null) await channel.forgetProcess(id);
    this.#channel = channel;
  }

  async disconnect(): Promise<void> {
    this.#channel = undefined;
  }

  positions(): SessionPosition[] {
    return [...this.journals()]
      .filter(([, { lost }]) => lost === null)
      .map(([id, { endOffset }]) => ({ id, endOffset }));
  }

  async exportTo(dir: string, positions: readonly SessionPosition[]): Promise<void> {
    for (const { id, endOffset } of positions)
      this.#files.write(`${dir}/${id}`, JSON.stringify({ endOffset, lost: null } satisfies Journal));
  }

  async replaceFrom(dir: string | undefined, reason: string): Promise<void> {
    if (this.#channel) throw new Error('sessions are replaced while connected');
    await this.lose(reason);
    this.#files.removeTree(this.dir);
    if (dir !== undefined) this.#files.copyTree(dir, this.dir);
  }

  async lose(reason: string): Promise<void> {
    for (const [id, journal] of this.journals())
      if (journal.lost === null) this.#write(id, { ...journal, lost: reason });
  }

  async start(): Promise<Session> {
    throw new Error('use run()');
  }

  list(): Session[] {
    return [];
  }

  get(): undefined {
    return undefined;
  }

  jobs(): Session[] {
    return [];
  }

  async removeJob(): Promise<void> {}

  activity(): { clients: number; jobs: number; lastOutputAt: number } {
    return { clients: this.clients, jobs: this.runningJobs, lastOutputAt: this.lastOutputAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#onClose();
  }

  #write(id: string, journal: Journal): void {
    this.#files.write(`${this.dir}/${id}`, JSON.stringify(journal));
  }
}
