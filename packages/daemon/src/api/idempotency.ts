import { createHash } from 'node:crypto';
import type { Repository } from '@sylph/engine';
import { idempotencyKey, SylphError } from '@sylph/model';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Answers are kept for so long. */
const keepMs = 24 * 3_600_000;
const pruneIntervalMs = 3_600_000;
/** Statuses of rows: work that has begun and not ended, and work that was answered. Everything that is to happen once makes something. */
const begun = 0;
const created = 201;

/** Work that is to happen once, and its answer's body. */
export interface OnceOnly<Body> {
  run: () => Promise<Body>;
  /** After `run` failed on a repetition of work that had begun at `since` and whose end is unknown: the answer if that work had succeeded after all. */
  recover: (since: string, failure: unknown) => Promise<Body | undefined>;
  /** `run` would succeed a second time: it is asked what became of the first before. `failure` is undefined then. */
  recoverFirst?: boolean;
}

/**
 * `Idempotency-Key`: the same key with the same request gets the same answer, with another request 409. Only successes are kept: a failure has changed nothing and may be tried again.
 * The key is noted before the work begins, so that a repetition after a crash of the daemon finds what was made rather than complain that it exists.
 */
export class Idempotency {
  readonly #repository: Repository;
  /** Work under way, by organization and key. Bounded by the requests open. */
  readonly #running = new Map<string, { hash: string; body: Promise<unknown> }>();

  constructor(app: FastifyInstance, repository: Repository) {
    this.#repository = repository;
    const prune = (): Promise<void> => repository.pruneIdempotent(new Date(Date.now() - keepMs).toISOString());
    const timer = setInterval(
      () =>
        void prune().catch((error: unknown) =>
          app.log.warn({ err: error }, 'old idempotency keys could not be dropped; the next hour tries again'),
        ),
      pruneIntervalMs,
    );
    app.addHook('onReady', prune);
    app.addHook('onClose', async () => clearInterval(timer));
  }

  /** The body of the answer to a request, whose work is done at most once per key, by default that of the header. */
  async once<Body>(request: FastifyRequest, work: OnceOnly<Body>, key = idempotencyKeyOf(request)): Promise<Body> {
    if (key === undefined) return work.run();
    const hash = requestHash(request);
    const place = `${request.caller.org.id}/${key}`;
    const running = this.#running.get(place);
    if (running !== undefined) {
      assertSame(running.hash, hash);
      return running.body as Promise<Body>;
    }
    const body = this.#perform(request.caller.org.id, key, hash, work);
    this.#running.set(place, { hash, body });
    try {
      return await body;
    } finally {
      this.#running.delete(place);
    }
  }

  /** For answers that begin before their work does: throws what {@link once} would throw for the key of the header. */
  async assertUsable(request: FastifyRequest): Promise<void> {
    const key = idempotencyKeyOf(request);
    if (key === undefined) return;
    const orgId = request.caller.org.id;
    const known =
      this.#running.get(`${orgId}/${key}`)?.hash ?? (await this.#repository.idempotent(orgId, key))?.requestHash;
    if (known !== undefined) assertSame(known, requestHash(request));
  }

  async #perform<Body>(
    orgId: string,
    key: string,
    hash: string,
    { run, recover, recoverFirst = false }: OnceOnly<Body>,
  ): Promise<Body> {
    const known = await this.#repository.idempotent(orgId, key);
    if (known !== undefined) assertSame(known.requestHash, hash);
    if (known?.status === created) return JSON.parse(known.body) as Body;
    const row = { orgId, key, requestHash: hash, createdAt: known?.createdAt ?? new Date().toISOString() };
    if (known === undefined) await this.#repository.insertIdempotent({ ...row, status: begun, body: '' });
    const made = known !== undefined && recoverFirst ? await recover(known.createdAt, undefined) : undefined;
    const work = made === undefined ? run() : Promise.resolve(made);
    const body = await work.catch(async (failure: unknown) => {
      const recovered = known === undefined ? undefined : await recover(known.createdAt, failure);
      if (recovered === undefined) throw failure;
      return recovered;
    });
    await this.#repository.insertIdempotent({ ...row, status: created, body: JSON.stringify(body) });
    return body;
  }
}

/** Key of the header. Throws `invalid_request` for one that is none. */
export function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  const parsed = idempotencyKey.safeParse(key);
  if (parsed.success) return parsed.data;
  throw new SylphError('invalid_request', `the Idempotency-Key header ${parsed.error.issues[0]?.message}`);
}

/** Of what the request asks for: its route and its body, whatever the order of keys. */
function requestHash({ method, url, body }: FastifyRequest): string {
  return createHash('sha256')
    .update(`${method} ${url}\n${JSON.stringify(sorted(body))}`)
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

function assertSame(known: string, hash: string): void {
  if (known === hash) return;
  throw new SylphError('idempotency_mismatch', 'this Idempotency-Key was used for another request', {
    hint: 'Use a new key for every new request.',
  });
}
