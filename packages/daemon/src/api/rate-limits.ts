import { SylphError } from '@sylph/model';
import type { FastifyReply } from 'fastify';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Caller } from '../auth/tokens.ts';
import type { ApiLimits } from './deps.ts';

/** Requests are counted in windows of so long. */
const windowS = 60;

/** Numbers of a refusal, as existing clients read them. */
export interface RateNumbers {
  limit: number;
  window_seconds: number;
  retry_after_seconds: number;
  current_count: number;
  upgrade_available: false;
}

/** Refused for now: too much was asked for in a short time. */
export class RateLimited extends SylphError {
  /** What existing clients know this refusal by. */
  readonly kind: 'rate_limited' | 'sprite_creation_rate_limited';
  readonly numbers: RateNumbers;

  constructor(kind: RateLimited['kind'], message: string, limit: number, state: RateLimiterRes) {
    const retryAfterS = Math.max(1, Math.ceil(state.msBeforeNext / 1000));
    super('rate_limited', message, { hint: `Try again in ${retryAfterS} s.` });
    this.kind = kind;
    this.numbers = {
      limit,
      window_seconds: windowS,
      retry_after_seconds: retryAfterS,
      current_count: state.consumedPoints,
      upgrade_available: false,
    };
  }
}

/** How much a token may ask for, and an organization may make, in a minute. Counted in memory: a daemon that restarts begins anew. */
export class RateLimits {
  readonly #requests: Limit | undefined;
  readonly #creations: Limit | undefined;

  constructor({ requestsPerMinute, creationsPerMinute }: Pick<ApiLimits, 'requestsPerMinute' | 'creationsPerMinute'>) {
    this.#requests = limitOf(requestsPerMinute);
    this.#creations = limitOf(creationsPerMinute);
  }

  /** Counts a request and tells in its answer's headers what is left. Throws {@link RateLimited}. */
  async request({ tokenId }: Caller, reply: FastifyReply): Promise<void> {
    if (this.#requests === undefined) return;
    const { limiter, most } = this.#requests;
    const state = await consume(limiter, tokenId, 1);
    reply.header('x-ratelimit-limit', most);
    reply.header('x-ratelimit-remaining', Math.max(0, state.remainingPoints));
    reply.header('x-ratelimit-reset', Math.ceil((Date.now() + state.msBeforeNext) / 1000));
    if (state.consumedPoints > most)
      throw new RateLimited('rate_limited', `this token may make ${most} requests a minute`, most, state);
  }

  /** Counts sprites that are about to be made. Throws {@link RateLimited}; then none of them counts for the next minute's. */
  async creations({ org }: Caller, count: number): Promise<void> {
    if (this.#creations === undefined) return;
    const { limiter, most } = this.#creations;
    const state = await consume(limiter, org.id, count);
    if (state.consumedPoints <= most) return;
    await limiter.reward(org.id, count);
    throw new RateLimited(
      'sprite_creation_rate_limited',
      `organization ${org.slug} may make ${most} sprites a minute`,
      most,
      state,
    );
  }
}

interface Limit {
  limiter: RateLimiterMemory;
  most: number;
}

function limitOf(most: number): Limit | undefined {
  return most === 0 ? undefined : { limiter: new RateLimiterMemory({ points: most, duration: windowS }), most };
}

/** The library rejects with the state where there is too much. */
async function consume(limiter: RateLimiterMemory, key: string, points: number): Promise<RateLimiterRes> {
  try {
    return await limiter.consume(key, points);
  } catch (thrown) {
    if (thrown instanceof RateLimiterRes) return thrown;
    throw thrown;
  }
}
