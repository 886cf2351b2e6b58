/** Codes that older clients know a refusal by. */
export const ERR_CODE_CREATION_RATE_LIMITED = 'sprite_creation_rate_limited';
export const ERR_CODE_CONCURRENT_LIMIT_EXCEEDED = 'concurrent_sprite_limit_exceeded';

/** Numbers of an answer about limits: of its body, and of its `Retry-After` and `X-RateLimit-*` headers. */
export interface RateLimitNumbers {
  limit?: number;
  windowSeconds?: number;
  retryAfterSeconds?: number;
  currentCount?: number;
  upgradeAvailable?: boolean;
  upgradeUrl?: string;
  /** Seconds. */
  retryAfterHeader?: number;
  rateLimitLimit?: number;
  rateLimitRemaining?: number;
  /** Seconds since 1970. */
  rateLimitReset?: number;
}

/** Reads what an answer says of limits. */
export function rateLimitNumbers(
  said: Record<string, unknown> | undefined,
  headers: Headers | undefined,
): RateLimitNumbers {
  const header = (name: string): number | undefined => count(Number.parseInt(headers?.get(name) ?? '', 10));
  const found = {
    limit: count(said?.['limit']),
    windowSeconds: count(said?.['window_seconds']),
    retryAfterSeconds: count(said?.['retry_after_seconds']),
    currentCount: count(said?.['current_count']),
    upgradeAvailable: typeof said?.['upgrade_available'] === 'boolean' ? said['upgrade_available'] : undefined,
    upgradeUrl: typeof said?.['upgrade_url'] === 'string' ? said['upgrade_url'] : undefined,
    retryAfterHeader: header('retry-after'),
    rateLimitLimit: header('x-ratelimit-limit'),
    rateLimitRemaining: header('x-ratelimit-remaining'),
    rateLimitReset: header('x-ratelimit-reset'),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
