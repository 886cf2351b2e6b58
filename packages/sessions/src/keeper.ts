import type { Session, SessionKeeper, SpriteSessions } from '@sylph/engine';
import { JournaledSessions, type SessionLog } from './sprite-sessions.ts';

/** Takes note, durably, that somebody wants to hear of a job's end; may be called again for the same end. */
export type JobNotifier = (spriteId: string, session: Session) => Promise<void>;

/** Keeps sessions with their journals in files of the host. */
export class JournalKeeper implements SessionKeeper {
  readonly #log: SessionLog;
  readonly #notify: JobNotifier;

  /** `log` hears of what a person may want to know: quarantined files, killed strangers, a full disk. */
  constructor(options: { log: SessionLog; notify: JobNotifier }) {
    this.#log = options.log;
    this.#notify = options.notify;
  }

  open(options: {
    spriteId: string;
    dir: string;
    nextId: () => Promise<string>;
    onActivity: () => void;
  }): Promise<SpriteSessions> {
    return JournaledSessions.open({
      ...options,
      log: this.#log,
      notify: (session) => this.#notify(options.spriteId, session),
    });
  }
}
