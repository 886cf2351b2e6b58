import type { SessionKeeper, SpriteSessions } from '@sylph/engine';
import { JournaledSessions, type SessionLog } from './sprite-sessions.ts';

/** Keeps sessions with their journals in files of the host. */
export class JournalKeeper implements SessionKeeper {
  readonly #log: SessionLog;

  /** `log` hears of what a person may want to know: quarantined files, killed strangers, a full disk. */
  constructor(options: { log: SessionLog }) {
    this.#log = options.log;
  }

  open(options: {
    spriteId: string;
    dir: string;
    nextId: () => Promise<string>;
    onActivity: () => void;
  }): Promise<SpriteSessions> {
    return JournaledSessions.open({ ...options, log: this.#log });
  }
}
