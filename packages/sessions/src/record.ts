import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Journal } from './journal/journal.ts';
import { type SessionManifest, createManifest, manifestName, replaceManifest } from './manifest.ts';
import { removeDir } from './remove-dir.ts';
import { syncPath } from './sync-path.ts';

/** Between attempts to record an end where the file system does not take it, ms. */
const retryMs = 1000;

/** A session's directory and its record in it: a first one when it starts, another when it ended. */
export class SessionRecord {
  /** Undefined: nothing is recorded. */
  #dir: string | undefined;
  /** Resolves once there is a directory. */
  readonly ready: Promise<void>;
  readonly #created: Promise<void>;
  #newest: Promise<void>;
  #durable = false;
  /** There is a directory, and it is this session's. */
  #ownsDir: boolean;

  private constructor(dir: string | undefined, first?: SessionManifest) {
    this.#dir = dir;
    this.#ownsDir = dir !== undefined && first === undefined;
    this.ready = dir === undefined || first === undefined ? Promise.resolve() : this.#make(dir);
    this.#created = this.#newest =
      dir === undefined || first === undefined ? this.ready : this.ready.then(() => createManifest(dir, first));
    // Who waits for the record hears of it.
    this.#created.catch(() => {});
  }

  /** Begins to write a first record. `dir` does not exist yet. */
  static create(dir: string, manifest: SessionManifest): SessionRecord {
    return new SessionRecord(dir, manifest);
  }

  /** A record that is there already. */
  static found(dir: string): SessionRecord {
    return new SessionRecord(dir);
  }

  /** No record at all, and no directory: every method does nothing. */
  static none(): SessionRecord {
    return new SessionRecord(undefined);
  }

  /** Resolves once the first record is durable against a daemon crash. Rejects when it cannot be written. */
  get created(): Promise<void> {
    return this.#created;
  }

  /** Resolves once the newest record is; a full disk can make that late. Rejects when it is closed before. */
  get newest(): Promise<void> {
    return this.#newest;
  }

  /**
   * Records the end, once all output in front of it is in the journal. A full disk makes it late, which `onLate` hears once; given up when `signal` fires.
   */
  end(
    manifest: () => SessionManifest,
    journal: Journal,
    options: { signal: AbortSignal; onLate: (error: unknown) => void },
  ): void {
    this.#newest = this.#writeEnd(manifest, journal, options);
    this.#newest.catch(() => {}); // who waits for the record hears of it
  }

  /** Replaces the record of one that has ended; `newest` has resolved. */
  async replace(manifest: SessionManifest): Promise<void> {
    if (this.#dir !== undefined) await replaceManifest(this.#dir, manifest);
  }

  /** Makes the record durable against a loss of power. */
  async sync(): Promise<void> {
    await this.#created;
    if (!this.#durable && this.#dir !== undefined) await syncPath(path.join(this.#dir, manifestName));
    this.#durable = true;
  }

  /** Renames the directory. Nothing is being written. */
  async moveTo(dir: string): Promise<void> {
    if (this.#dir === undefined) return;
    await rename(this.#dir, dir);
    this.#dir = dir;
  }

  /** Removes the directory, if there is one of this session. */
  async remove(): Promise<void> {
    if (this.#ownsDir && this.#dir !== undefined) await removeDir(this.#dir);
  }

  async #make(dir: string): Promise<void> {
    await mkdir(dir, { mode: 0o700 });
    this.#ownsDir = true;
  }

  async #writeEnd(
    manifest: () => SessionManifest,
    journal: Journal,
    { signal, onLate }: { signal: AbortSignal; onLate: (error: unknown) => void },
  ): Promise<void> {
    await this.#created;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await journal.flush();
        if (this.#dir !== undefined) await replaceManifest(this.#dir, manifest());
        await journal.release();
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        if (attempt === 0) onLate(error);
        await sleep(retryMs, undefined, { signal }).catch(() => {}); // closed: the next attempt is the last
      }
    }
  }
}
