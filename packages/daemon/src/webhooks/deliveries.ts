import type { DeliveryRow, Repository } from '@sylph/engine';
import type { Logger } from 'pino';
import { post } from './post.ts';
import { signedHeaders } from './sign.ts';

/** Pauses after failed attempts, ms: some two days in all, after which a message is given up. */
const pausesMs = [5_000, 30_000, 120_000, 600_000, 3_600_000, 14_400_000, 43_200_000, 86_400_000] as const;
/** Before the next look after the database failed, ms. */
const troublePauseMs = 60_000;
/** Attempts at once. */
const maxParallel = 8;
/** Attempts at once of one organization: slow receivers of one delay no other's. */
const maxPerOrg = 2;
/** Organizations passed over at most because it was their turn already. */
const maxServed = 256;
/** Longest time a timer can run. */
const maxDelayMs = 2 ** 31 - 1;

export interface DeliveriesOptions {
  repository: Repository;
  log: Logger;
  /** Whether messages may go to addresses that are not public. */
  internalToo: boolean;
  /** For tests: pauses after failed attempts, ms. */
  pausesMs?: readonly number[];
}

/**
 * Messages to receivers outside, each kept until a receiver took it or all attempts failed: at least once, also across restarts. One timer, however many wait. Organizations take turns: of what is due, each sends its
 * earliest message before one sends its next.
 */
export class Deliveries implements AsyncDisposable {
  readonly #options: DeliveriesOptions;
  readonly #underWay = new Map<string, { orgId: string; done: Promise<void> }>();
  /** Organizations that had their turn in this round. */
  readonly #served = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  /** Goes on with what an earlier daemon left. */
  constructor(options: DeliveriesOptions) {
    this.#options = options;
    this.#look();
  }

  /** Durable when it resolves. Once per id. */
  async add(message: Pick<DeliveryRow, 'id' | 'orgId' | 'url' | 'secret' | 'body'>): Promise<void> {
    await this.#options.repository.insertDelivery({ ...message, attempts: 0, nextAttemptAt: new Date().toISOString() });
    this.#look();
  }

  /** What is under way is waited for; the rest is a later daemon's. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#looking;
    await Promise.all([...this.#underWay.values()].map(({ done }) => done));
  }

  /** Starts what is due, and a timer for what comes next. One look at a time. */
  #look(): void {
    clearTimeout(this.#timer);
    this.#looking = this.#looking
      .then(() => this.#start())
      .catch((error: unknown) => {
        this.#options.log.error({ err: error }, 'waiting webhooks cannot be read; tried again in a minute');
        this.#wakeIn(troublePauseMs);
      });
  }

  async #start(): Promise<void> {
    // The end of one of those under way looks again.
    while (!this.#closed && this.#underWay.size < maxParallel) {
      const row = await this.#next();
      if (row === undefined || this.#closed) return;
      const waitMs = waitMsOf(row);
      if (waitMs > 0) return this.#wakeIn(waitMs);
      if (this.#served.size >= maxServed) this.#served.clear();
      this.#served.add(row.orgId);
      this.#underWay.set(row.id, { orgId: row.orgId, done: this.#run(row) });
    }
  }

  /** The earliest message of those whose turn it is, or, where none of them has one that is due, of all that may send another. */
  async #next(): Promise<DeliveryRow | undefined> {
    const full = this.#fullOrgs();
    const inTurn = await this.#earliest([...full, ...this.#served]);
    if (inTurn !== undefined && waitMsOf(inTurn) <= 0) return inTurn;
    this.#served.clear();
    return this.#earliest(full);
  }

  async #earliest(exceptOrgs: readonly string[]): Promise<DeliveryRow | undefined> {
    // One more than can be under way.
    const rows = await this.#options.repository.nextDeliveries(maxParallel, exceptOrgs);
    return rows.find((row) => !this.#underWay.has(row.id));
  }

  /** Organizations that may not send another message now. */
  #fullOrgs(): string[] {
    const orgIds = [...this.#underWay.values()].map(({ orgId }) => orgId);
    return [...new Set(orgIds)].filter((orgId) => orgIds.filter((other) => other === orgId).length >= maxPerOrg);
  }

  #wakeIn(ms: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.min(ms, maxDelayMs)).unref();
  }

  /** Never rejects. */
  async #run(row: DeliveryRow): Promise<void> {
    try {
      await this.#attempt(row);
      this.#underWay.delete(row.id);
      this.#look();
    } catch (error) {
      this.#options.log.error(
        { delivery: row.id, err: error },
        'what became of a webhook cannot be written; it is sent again',
      );
      this.#underWay.delete(row.id);
      this.#wakeIn(troublePauseMs);
    }
  }

  async #attempt(row: DeliveryRow): Promise<void> {
    const { repository, log, internalToo } = this.#options;
    const pauseMs = (this.#options.pausesMs ?? pausesMs)[row.attempts];
    const where = { delivery: row.id, host: new URL(row.url).host, attempt: row.attempts + 1 };
    const failure = await this.#post(row, internalToo);
    if (failure === undefined) {
      await repository.removeDelivery(row.id);
      log.info(where, 'webhook delivered');
    } else if (pauseMs === undefined) {
      await repository.removeDelivery(row.id);
      log.warn({ ...where, reason: failure.message }, 'webhook given up');
    } else {
      const nextAttemptAt = new Date(Date.now() + pauseMs).toISOString();
      await repository.updateDelivery(row.id, { attempts: row.attempts + 1, nextAttemptAt });
      log.info({ ...where, reason: failure.message, nextAttemptAt }, 'webhook not delivered yet');
    }
  }

  async #post(row: DeliveryRow, internalToo: boolean): Promise<Error | undefined> {
    try {
      await post({ url: row.url, headers: signedHeaders(row, new Date()), body: row.body }, { internalToo });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** How long a message is to wait; not more than 0: it is due. */
function waitMsOf({ nextAttemptAt }: DeliveryRow): number {
  return Date.parse(nextAttemptAt) - Date.now();
}
