import type { ErrorCode } from '@sylph/model';
import { parseObject } from './json.ts';
import {
  ERR_CODE_CONCURRENT_LIMIT_EXCEEDED,
  ERR_CODE_CREATION_RATE_LIMITED,
  rateLimitNumbers,
  type RateLimitNumbers,
} from './rate-limit.ts';

/**
 * Code of a failure: one the server gave, or one that only the client can see.
 * `connection_failed`: nobody answers at the address. `connection_lost`: an answer was under way and broke off. `protocol`: the server said something that is not in the API. `timeout` may be either side's.
 * `port_unreachable`: the sprite runs, but inside it nothing could be connected to.
 */
export type ClientErrorCode = ErrorCode | 'connection_failed' | 'connection_lost' | 'protocol' | 'port_unreachable';

/** What a {@link ClientError} carries beyond its code and message. */
export interface ClientErrorDetails {
  /** What the person can do next, one sentence. */
  hint?: string | undefined;
  /** Whether the same request can succeed later. */
  retryable?: boolean | undefined;
  /** HTTP status, when the server answered. */
  status?: number | undefined;
  /** What the answer calls the error besides its code: the word older clients know it by, or the text. */
  answer?: string | undefined;
  /** What the answer says of limits. */
  rateLimit?: RateLimitNumbers | undefined;
  cause?: unknown;
}

/**
 * The one error class of the client. `message` is a sentence for a person; branch on `code`. What an `AbortSignal` ends throws the signal's reason instead.
 * `statusCode`, `errorCode` and what is about limits are the names of the npm SDK's `APIError`.
 */
export class ClientError extends Error {
  readonly code: ClientErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly status: number | undefined;
  readonly #rateLimit: RateLimitNumbers;
  readonly #answer: string | undefined;

  constructor(code: ClientErrorCode, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'ClientError';
    this.code = code;
    this.hint = details.hint;
    this.retryable = details.retryable ?? false;
    this.status = details.status;
    this.#rateLimit = details.rateLimit ?? {};
    this.#answer = details.answer;
  }

  /** {@link status}. */
  get statusCode(): number | undefined {
    return this.status;
  }

  /** The word older clients know the error by, where there is one, else {@link code}. */
  get errorCode(): string {
    return this.#answer !== undefined && /^[a-z_]+$/.test(this.#answer) ? this.#answer : this.code;
  }

  get limit(): number | undefined {
    return this.#rateLimit.limit;
  }

  get windowSeconds(): number | undefined {
    return this.#rateLimit.windowSeconds;
  }

  get retryAfterSeconds(): number | undefined {
    return this.#rateLimit.retryAfterSeconds;
  }

  get currentCount(): number | undefined {
    return this.#rateLimit.currentCount;
  }

  get upgradeAvailable(): boolean | undefined {
    return this.#rateLimit.upgradeAvailable;
  }

  get upgradeUrl(): string | undefined {
    return this.#rateLimit.upgradeUrl;
  }

  get retryAfterHeader(): number | undefined {
    return this.#rateLimit.retryAfterHeader;
  }

  get rateLimitLimit(): number | undefined {
    return this.#rateLimit.rateLimitLimit;
  }

  get rateLimitRemaining(): number | undefined {
    return this.#rateLimit.rateLimitRemaining;
  }

  get rateLimitReset(): number | undefined {
    return this.#rateLimit.rateLimitReset;
  }

  isRateLimitError(): boolean {
    return this.status === 429;
  }

  isCreationRateLimited(): boolean {
    return this.errorCode === ERR_CODE_CREATION_RATE_LIMITED;
  }

  isConcurrentLimitExceeded(): boolean {
    return this.errorCode === ERR_CODE_CONCURRENT_LIMIT_EXCEEDED;
  }

  /** Seconds until another attempt makes sense, where the server says. */
  getRetryAfterSeconds(): number | undefined {
    const { retryAfterSeconds, retryAfterHeader } = this.#rateLimit;
    return retryAfterSeconds !== undefined && retryAfterSeconds > 0 ? retryAfterSeconds : retryAfterHeader;
  }
}

/** Codes for servers that send a status and a text only. */
const codeByStatus: Record<number, ErrorCode> = {
  400: 'invalid_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  409: 'illegal_state',
  410: 'session_exited',
  413: 'body_too_large',
  429: 'too_many_sprites',
  502: 'agent_failed',
  503: 'not_ready',
  504: 'timeout',
  507: 'pool_full',
};

const maxMessageLength = 2000;

/** The error an answer with a failure status stands for: the JSON body of this API, of its relatives (`error`, `errors`), or plain text. */
export function errorFromAnswer(status: number, body: string, headers?: Headers): ClientError {
  const said = parseObject(body);
  const text =
    firstText(said?.['message'], said?.['error'], joined(said?.['errors'])) ?? (said === undefined ? body.trim() : '');
  const message = (text === '' ? `the server answered with status ${status}` : text).slice(0, maxMessageLength);
  const code = firstText(said?.['code']) ?? codeByStatus[status] ?? (status < 500 ? 'invalid_request' : 'internal');
  return new ClientError(code as ClientErrorCode, message, {
    status,
    answer: firstText(said?.['error']),
    rateLimit: rateLimitNumbers(said, headers),
    hint: firstText(said?.['hint']) ?? hintByStatus[status],
    retryable: typeof said?.['retryable'] === 'boolean' ? said['retryable'] : status === 429 || status === 503,
  });
}

const hintByStatus: Record<number, string> = {
  401: 'check the token; `sylph login` saves a new one',
};

/** An error for a request that got no answer at all: refused, unknown host, broken off. */
export function connectionFailed(baseUrl: string, cause: unknown): ClientError {
  return new ClientError('connection_failed', `no server answers at ${baseUrl}: ${rootReason(cause)}`, {
    hint: 'check the address and that sylphd runs there',
    retryable: true,
    cause,
  });
}

/** The innermost text of an error: fetch and sockets wrap the one that says something. */
export function rootReason(thrown: unknown): string {
  let inner = thrown;
  for (let depth = 0; depth < 5 && inner instanceof Error && inner.cause !== undefined; depth++) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) return rootReason(inner.errors[0]);
  if (!(inner instanceof Error)) return String(inner);
  return inner.message === '' ? ((inner as { code?: string }).code ?? inner.name) : inner.message;
}

function firstText(...values: unknown[]): string | undefined {
  return values.find((value): value is string => typeof value === 'string' && value !== '');
}

function joined(value: unknown): string | undefined {
  return Array.isArray(value) ? value.map(String).join('; ') : undefined;
}
