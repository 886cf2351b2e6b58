import type { SignalName } from '@sylph/model';
import type { GuestChannel } from './guest-channel.ts';

/** How far a running session's journal reached at the instant of a capture. */
export interface SessionPosition {
  id: string;
  endOffset: number;
}

/** What makes a session a background job: it holds its sprite awake until it ends, and is kept afterwards until somebody removes it. */
export interface JobOptions {
  /** Given to it at its start, followed by the end of input. */
  input: string;
  /** Awake time after which it gets TERM and later KILL; null = none. */
  timeoutMs: number | null;
  idempotencyKey: string | null;
  /** Who hears of its end, and the key that signs it. */
  notify: { url: string; secret: string } | null;
}

/** What to run in a session. `env` is complete. */
export interface SessionRequest {
  argv: string[];
  /** Program to resolve; a bare name is looked up in `env.PATH`. */
  path: string;
  env: Record<string, string>;
  dir: string;
  user: string;
  tty: { cols: number; rows: number } | null;
  stdin: boolean;
  /** How long it may live after its last client vanished, ms; null = as long as it likes. */
  maxRunAfterDisconnectMs: number | null;
  /** Its output is for the client that started it and is kept in memory only, until that has read it: neither record nor journal, so it ends with its daemon and is in no checkpoint. */
  transient?: boolean | undefined;
  job?: JobOptions | undefined;
}

/** Why a process was ended from outside. */
export type StopCause = 'timeout' | 'kill';

/** How a session ended. `lost`: the VM died or was taken back; nobody knows an exit code, so none is given. `not-started`: exit code 126 or 127 with the reason. */
export type SessionEnd =
  | { how: 'exited'; code: number; signal: string | null; cause?: StopCause | undefined; at: string }
  | { how: 'not-started'; code: 126 | 127; reason: string; at: string }
  | { how: 'lost'; reason: string; at: string };

/** What a reader sees, in order; `end` is the last. `dropped`: bytes before `offset` are gone because the journal is bounded and no client was reading. */
export type SessionEvent =
  | { type: 'output'; stream: 'stdout' | 'stderr'; offset: number; bytes: Buffer }
  | { type: 'dropped'; from: number; to: number }
  | { type: 'end'; end: SessionEnd };

/** A process with a journal on the host. Clients read the journal; they are never in the path of the process. */
export interface Session {
  readonly id: string;
  readonly request: SessionRequest;
  readonly createdAt: Date;
  /** Guest pid, 0 until it started. */
  readonly pid: number;
  /** Executable as resolved in the guest; `request.path` until it started. */
  readonly resolvedPath: string;
  readonly size: { cols: number; rows: number } | null;
  readonly lastActivityAt: Date;
  /** Output bytes so far. */
  readonly endOffset: number;
  readonly bytesPerSecond: number;
  /** Clients attached. */
  readonly clients: number;
  readonly end: SessionEnd | undefined;
  /** Resolves when it ended. */
  readonly ended: Promise<SessionEnd>;
  /** Reads the journal from `offset`, then follows until the end. A reader that lags holds the process back (the journal is bounded) rather than lose a byte. */
  read(options: { offset: number; signal: AbortSignal }): AsyncIterable<SessionEvent>;
  /** Counts a client in: stops the disconnect timer and keeps the sprite awake, or, with `awake: false`, lets it sleep; then it goes on with the next wake. Dispose when it leaves. */
  attach(options?: { awake: boolean }): Disposable;
  /**
   * Input bytes taken so far, counted from the process's start: what the guest has, and what waits here and will reach it. After a daemon restart that is what the guest reports, so it resolves once the guest was
   * heard; a client sends what lies behind it again. Undefined when nobody will know, or when `signal` fires first.
   */
  inputOffset(options: { signal: AbortSignal }): Promise<number | undefined>;
  /** Resolves when more may be written; bytes after the end are dropped silently. Survives a break of the channel. */
  write(bytes: Uint8Array): Promise<void>;
  endInput(): void;
  resize(size: { cols: number; rows: number }): void;
  /** Rejects with `session_exited` after its end. */
  signal(signal: SignalName): Promise<void>;
  /** Ends it: the signal at once, KILL 10 s later. Rejects as {@link signal}. */
  stop(signal: SignalName, cause: StopCause): Promise<void>;
}

/** The sessions of one sprite. */
export interface SpriteSessions extends AsyncDisposable {
  /** The guest answers: pumps start again where the journals end; processes nobody knows are forgotten or killed; running sessions the guest does not know are lost. */
  connect(channel: GuestChannel): Promise<void>;
  /** The guest is about to become unreachable. Running sessions wait for the next `connect`; their clients stay attached. Journals are flushed. */
  disconnect(): Promise<void>;
  /** Positions of running sessions; synchronous, for use while the VM is paused. */
  positions(): SessionPosition[];
  /** Writes the journals of these sessions, up to their positions, into `dir` (exists, empty). fsynced. */
  exportTo(dir: string, positions: readonly SessionPosition[]): Promise<void>;
  /**
   * Takes over the sessions of a snapshot in place of all present ones, whose clients are told `reason` and whose running ones end as lost; ended jobs stay. A session of the snapshot has the id of the present one it replaces:
   * {@link get} finds one of the two at any time. Call while disconnected. `dir` undefined: none.
   */
  replaceFrom(dir: string | undefined, reason: string): Promise<void>;
  /** Running sessions end as lost. */
  lose(reason: string): Promise<void>;
  /** Starts a session. Resolves once its record is durable against a daemon crash and the guest was asked; output and failure to start come through the session. */
  start(request: SessionRequest): Promise<Session>;
  /** Running sessions. */
  list(): Session[];
  /** Running, recently ended, or an ended job. */
  get(id: string): Session | undefined;
  /** Jobs, running and ended. */
  jobs(): Session[];
  /** Removes an ended job. Rejects with `illegal_state` while it runs; unknown ids are fine. */
  removeJob(id: string): Promise<void>;
  /** Attached clients, running jobs, last output: for the idle rule. */
  activity(): { clients: number; jobs: number; lastOutputAt: number };
}

/** Keeps sessions. */
export interface SessionKeeper {
  /** Sessions of a sprite; journals lie in `dir`. `nextId` counts durably per sprite. `onActivity` is called when clients come or go or output arrives, at most every 100 ms. */
  open(options: {
    spriteId: string;
    dir: string;
    nextId: () => Promise<string>;
    onActivity: () => void;
  }): Promise<SpriteSessions>;
}
