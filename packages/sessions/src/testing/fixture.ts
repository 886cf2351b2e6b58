import { cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Session, SessionEnd, SessionRequest } from '@sylph/engine';
import { JournaledSessions } from '../sprite-sessions.ts';

/** A signal that never fires. */
export const never = new AbortController().signal;

/** A request for `argv` with plain defaults. */
export function request(argv: string[] = ['cat'], more: Partial<SessionRequest> = {}): SessionRequest {
  return {
    argv,
    path: argv[0] ?? '',
    env: { PATH: '/usr/bin:/bin' },
    dir: '/tmp',
    user: 'root',
    tty: null,
    stdin: true,
    maxRunAfterDisconnectMs: null,
    ...more,
  };
}

/** A sprite's sessions in a temporary directory, reopened as often as a test likes. */
export class SessionsFixture implements AsyncDisposable {
  readonly dir: string;
  readonly notices: string[] = [];
  /** Jobs whose end was told; called before it counts as told. */
  readonly told: string[] = [];
  onTell: (session: Session) => Promise<void> = async () => {};
  activityCalls = 0;
  #nextId: number;
  #crashes = 0;
  #directory = 'sessions';
  #open: JournaledSessions[] = [];

  private constructor(dir: string, firstId: number) {
    this.dir = dir;
    this.#nextId = firstId;
  }

  /** Fixtures that share a guest need ids of their own. */
  static async create(firstId = 1): Promise<SessionsFixture> {
    return new SessionsFixture(await mkdtemp(path.join(os.tmpdir(), 'sylph-sessions-')), firstId);
  }

  /**
   * Opens the sessions as a daemon that starts would; without disposing of earlier ones, as after a crash, if `crashed`. A daemon that crashed writes no more, but one in this process would:
   * the next one gets the files as they were at the crash.
   */
  async open(options: { crashed?: boolean; name?: string } = {}): Promise<JournaledSessions> {
    if (!options.crashed) await this.#closeAll();
    else if (options.name === undefined) {
      const before = path.join(this.dir, this.#directory);
      this.#directory = `sessions-${(this.#crashes += 1)}`;
      await cp(before, path.join(this.dir, this.#directory), { recursive: true });
    }
    const sessions = await JournaledSessions.open({
      spriteId: 'sprite',
      dir: path.join(this.dir, options.name ?? this.#directory),
      nextId: async () => String(this.#nextId++),
      onActivity: () => (this.activityCalls += 1),
      notify: async (session) => {
        this.told.push(session.id);
        await this.onTell(session);
      },
      log: { warn: (_fields, message) => this.notices.push(message) },
    });
    this.#open.push(sessions);
    return sessions;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeAll();
    await rm(this.dir, { recursive: true, force: true });
  }

  async #closeAll(): Promise<void> {
    for (const sessions of this.#open.splice(0)) await sessions[Symbol.asyncDispose]();
  }
}

/** What a client sees of a session from `offset` to its end. */
export async function readAll(
  session: Session,
  offset = 0,
): Promise<{ stdout: string; stderr: string; dropped: number; end: SessionEnd | undefined }> {
  const seen = { stdout: '', stderr: '', dropped: 0, end: undefined as SessionEnd | undefined };
  for await (const event of session.read({ offset, signal: never })) {
    if (event.type === 'output') seen[event.stream] += event.bytes.toString();
    else if (event.type === 'dropped') seen.dropped += event.to - event.from;
    else seen.end = event.end;
  }
  return seen;
}

/** Waits until `condition` holds. Rejects after some seconds. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  for (const deadline = performance.now() + 10_000; !condition();) {
    if (performance.now() > deadline) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
