import * as z from 'zod';

/**
 * Every failure the product can report: its HTTP status, the exit code of the command line, whether repeating the same request can help,
 * and whose doing it is. Branch on the code, never on a text.
 */
export const errorTable = {
  invalid_request: { status: 400, exitCode: 2, retryable: false, fault: 'user' },
  invalid_name: { status: 400, exitCode: 2, retryable: false, fault: 'user' },
  invalid_size: { status: 400, exitCode: 2, retryable: false, fault: 'user' },
  unauthenticated: { status: 401, exitCode: 1, retryable: false, fault: 'user' },
  forbidden: { status: 403, exitCode: 1, retryable: false, fault: 'user' },
  not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  sprite_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  checkpoint_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  session_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  job_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  service_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  image_not_found: { status: 404, exitCode: 1, retryable: false, fault: 'user' },
  method_not_allowed: { status: 405, exitCode: 1, retryable: false, fault: 'user' },
  name_taken: { status: 409, exitCode: 1, retryable: false, fault: 'user' },
  illegal_state: { status: 409, exitCode: 1, retryable: false, fault: 'user' },
  checkpoint_in_use: { status: 409, exitCode: 1, retryable: false, fault: 'user' },
  service_conflict: { status: 409, exitCode: 1, retryable: false, fault: 'user' },
  idempotency_mismatch: { status: 409, exitCode: 1, retryable: false, fault: 'user' },
  session_exited: { status: 410, exitCode: 1, retryable: false, fault: 'user' },
  body_too_large: { status: 413, exitCode: 2, retryable: false, fault: 'user' },
  rate_limited: { status: 429, exitCode: 1, retryable: true, fault: 'user' },
  too_many_sessions: { status: 429, exitCode: 1, retryable: true, fault: 'user' },
  too_many_sprites: { status: 429, exitCode: 1, retryable: true, fault: 'user' },
  internal: { status: 500, exitCode: 1, retryable: false, fault: 'ours' },
  agent_failed: { status: 502, exitCode: 1, retryable: true, fault: 'ours' },
  vm_failed: { status: 502, exitCode: 1, retryable: true, fault: 'ours' },
  /** Nobody knows how the command ended: running it again may do its work twice. */
  session_lost: { status: 502, exitCode: 1, retryable: false, fault: 'ours' },
  sprite_failed: { status: 503, exitCode: 1, retryable: false, fault: 'ours' },
  not_ready: { status: 503, exitCode: 1, retryable: true, fault: 'ours' },
  shutting_down: { status: 503, exitCode: 1, retryable: true, fault: 'ours' },
  host_unfit: { status: 503, exitCode: 1, retryable: false, fault: 'ours' },
  timeout: { status: 504, exitCode: 1, retryable: true, fault: 'ours' },
  pool_full: { status: 507, exitCode: 1, retryable: true, fault: 'ours' },
} as const satisfies Record<string, { status: number; exitCode: number; retryable: boolean; fault: 'user' | 'ours' }>;

/** Code of a failure, a key of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable;

/** What a {@link SylphError} carries beyond its code and message. */
export interface ErrorDetails {
  /** What the person can do next, one sentence. */
  hint?: string | undefined;
  /** Values for logs and for machines; never secrets. */
  context?: Record<string, unknown> | undefined;
  cause?: unknown;
}

/** The one error class. `message` is a sentence for a person; `code` is for programs. */
export class SylphError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly context: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SylphError';
    this.code = code;
    this.hint = details.hint;
    this.context = details.context ?? {};
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get exitCode(): number {
    return errorTable[this.code].exitCode;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  /** Wraps anything thrown: a SylphError stays itself, a deadline becomes `timeout`, a file system without room `pool_full`, everything else `internal`, with their cause. */
  static from(thrown: unknown): SylphError {
    if (thrown instanceof SylphError) return thrown;
    if (thrown instanceof DOMException && thrown.name === 'TimeoutError')
      return new SylphError('timeout', 'a deadline passed', { cause: thrown });
    if (isNoSpace(thrown)) return noSpace('a file could not be written', thrown);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new SylphError('internal', message, { cause: thrown });
  }
}

/** Whether a system call failed because a file system has no room, or no room for this user. */
export function isNoSpace(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT');
}

/** `pool_full`, with what did not happen. */
export function noSpace(what: string, cause?: unknown): SylphError {
  return new SylphError('pool_full', `the pool is full: ${what}`, {
    hint: 'Delete checkpoints or sprites, or give the data directory more space.',
    cause,
  });
}

/** `name_taken`, in the words existing clients know. */
export function nameTaken(name: string, cause?: unknown): SylphError {
  return new SylphError('name_taken', `A sprite named '${name}' already exists. Please choose a different name.`, {
    cause,
  });
}

/**
 * Body of every error answer. `error` is what existing clients print when there is no `message` and is the message too; `code` is ours.
 * The public reference's clients read `message`, then `error`. Of a limit, `error` is the code that those clients know and the numbers come with it.
 */
export const errorBody = z
  .strictObject({
    error: z.string(),
    message: z.string(),
    code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
    hint: z.string().optional(),
    retryable: z.boolean(),
    errors: z
      .array(z.string())
      .optional()
      .meta({ description: 'Every fault of a request that does not fit, one sentence each' }),
    limit: z.int().optional().meta({ description: 'Of a rate: how many are allowed in a window' }),
    window_seconds: z.int().optional(),
    retry_after_seconds: z.int().optional(),
    current_count: z.int().optional(),
    upgrade_available: z.boolean().optional().meta({ description: 'Always false; existing clients look for it' }),
  })
  .meta({ id: 'Error' });

/** The error as clients see it; `faults` are those of a request that does not fit. */
export function toErrorBody(error: SylphError, faults?: string[]): z.output<typeof errorBody> {
  return {
    error: error.message,
    message: error.message,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retryable: error.retryable,
    ...(faults === undefined ? {} : { errors: faults }),
  };
}
