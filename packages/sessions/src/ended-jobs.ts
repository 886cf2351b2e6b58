/** Ended jobs kept per sprite; beyond, the oldest go whose end nobody waits to hear of. */
const maxJobs = 1000;
/** Jobs kept when too many ends could not be told, as while the database fails: beyond, the oldest go untold. */
const maxUntoldJobs = 2 * maxJobs;

/** What is to be known of a job that has ended. */
interface EndedJob {
  readonly id: string;
  /** Somebody wants to hear of its end who has not. */
  readonly wantsNotice: boolean;
  /** Resolves once its end is recorded. */
  readonly recorded: Promise<void>;
  /** It {@link wantsNotice} no more. */
  markNotified(): Promise<void>;
}

export interface EndedJobsOptions<T> {
  /** Takes note, durably, that somebody wants to hear of a job's end. */
  notify: (job: T) => Promise<void>;
  /** Removes a job that is kept no longer. */
  remove: (job: T) => Promise<void>;
  /** Looks after work that runs beside everything and does not reject. */
  track: (work: Promise<void>) => void;
  /** Something for the log. */
  notice: (message: string, fields: Record<string, unknown>) => void;
}

/** Jobs of a sprite that have ended, oldest first, each kept until somebody removes it or there are too many. Sees to it that their ends are told. */
export class EndedJobs<T extends EndedJob> {
  readonly #options: EndedJobsOptions<T>;
  readonly #jobs = new Map<string, T>();
  #closed = false;

  constructor(options: EndedJobsOptions<T>) {
    this.#options = options;
  }

  get(id: string): T | undefined {
    return this.#jobs.get(id);
  }

  all(): T[] {
    return [...this.#jobs.values()];
  }

  add(job: T): void {
    this.#jobs.set(job.id, job);
    if (job.wantsNotice) this.#options.track(this.#notify(job));
    this.#evict();
  }

  /** Hands a job over to the caller. */
  take(id: string): T | undefined {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    return job;
  }

  /** Hands all over to the caller, who closes them: ends that have not been told are told when their records are read anew. */
  close(): T[] {
    this.#closed = true;
    return this.all();
  }

  #evict(): void {
    if (this.#closed) return;
    for (const job of this.#jobs.values()) {
      if (this.#jobs.size <= maxJobs) return;
      if (job.wantsNotice && this.#jobs.size <= maxUntoldJobs) continue;
      this.#jobs.delete(job.id);
      if (job.wantsNotice)
        this.#options.notice('a job is removed whose end could not be told: too many wait', { session: job.id });
      this.#options.track(this.#remove(job));
    }
  }

  async #remove(job: T): Promise<void> {
    try {
      await this.#options.remove(job);
    } catch (error) {
      this.#options.notice('an old job could not be removed', { session: job.id, err: error });
    }
  }

  async #notify(job: T): Promise<void> {
    try {
      await job.recorded;
      // Taken back to where it still ran: that was no end.
      if (this.#jobs.get(job.id) !== job) return;
      await this.#options.notify(job);
      await job.markNotified();
      this.#evict();
    } catch (error) {
      // Closed before it was recorded: it is told when the record is read anew.
      if (!this.#closed) this.#options.notice('the end of a job could not be told', { session: job.id, err: error });
    }
  }
}
