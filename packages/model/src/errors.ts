/**
 * Every failure the product can report: its HTTP status, the exit code of the command line, whether repeating the same request can help,
 * whose doing it is, and what a person can do next where the failure itself does not say. Branch on the code, never on a text.
 */
export const errorTable = {
  invalid_request: {
    status: 400,
    exitCode: 2,
    retryable: false,
    fault: 'user',
    hint: 'GET /openapi.json tells what each request takes.',
  },
  invalid_name: { status: 400, exitCode: 2, retryable: false, fault: 'user', hint: 'For example: my-sprite' },
  invalid_size: {
    status: 400,
    exitCode: 2,
    retryable: false,
    fault: 'user',
    hint: 'GET /v1/host tells what the host can give.',
  },
  unauthenticated: {
    status: 401,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Send "Authorization: Bearer TOKEN"; sylphd token create makes a token.',
  },
  forbidden: { status: 403, exitCode: 1, retryable: false, fault: 'user', hint: 'Use a token that may do this.' },
  not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET /openapi.json lists what there is.',
  },
  sprite_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET /v1/sprites lists the sprites of the organization.',
  },
  checkpoint_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/checkpoints?includeAuto=true lists what there is.',
  },
  session_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'It may have ended some time ago. GET …/exec lists what runs.',
  },
  job_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/jobs lists the jobs of a sprite.',
  },
  service_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/services lists the services of a sprite.',
  },
  link_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/links lists the preview links of a sprite.',
  },
  domain_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/domains lists the domains of a sprite.',
  },
  ssh_key_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET /v1/ssh-keys lists the keys of the organization.',
  },
  image_not_found: {
    status: 404,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET /v1/host lists the images; sylphd image build makes one.',
  },
  method_not_allowed: {
    status: 405,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET /openapi.json lists the methods of each path.',
  },
  name_taken: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Choose another name, or delete the sprite that has it.',
  },
  domain_taken: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Remove it from the sprite that has it.',
  },
  ssh_key_taken: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'The key is there already: GET /v1/ssh-keys.',
  },
  limit_reached: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Remove one that is no longer needed.',
  },
  /** What is asked for would not be enforced on this host, so it is not accepted. */
  policy_unenforceable: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'sylphd doctor says what the host lacks.',
  },
  illegal_state: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Wait until what is under way has ended, then look at its state.',
  },
  checkpoint_in_use: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Make a newer checkpoint or restore another one first.',
  },
  service_conflict: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'GET …/services shows the services and what they need.',
  },
  idempotency_mismatch: {
    status: 409,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'Use a new key for every new request.',
  },
  session_exited: {
    status: 410,
    exitCode: 1,
    retryable: false,
    fault: 'user',
    hint: 'There is nothing left to do: it had ended before.',
  },
  body_too_large: {
    status: 413,
    exitCode: 2,
    retryable: false,
    fault: 'user',
    hint: 'Send less at once; large input goes through stdin or into a file of the sprite.',
  },
  rate_limited: { status: 429, exitCode: 1, retryable: true, fault: 'user', hint: 'Wait as long as Retry-After says.' },
  too_many_sessions: {
    status: 429,
    exitCode: 1,
    retryable: true,
    fault: 'user',
    hint: 'End some of them, or wait until some have ended.',
  },
  too_many_sprites: {
    status: 429,
    exitCode: 1,
    retryable: true,
    fault: 'user',
    hint: 'Suspend one, or wait until one goes to sleep.',
  },
  internal: { status: 500, exitCode: 1, retryable: false, fault: 'ours', hint: 'The log of sylphd says more.' },
  agent_failed: {
    status: 502,
    exitCode: 1,
    retryable: true,
    fault: 'ours',
    hint: 'Try again; if that does not help, restart the sprite.',
  },
  vm_failed: {
    status: 502,
    exitCode: 1,
    retryable: true,
    fault: 'ours',
    hint: 'Try again; GET …/{name} shows the reason.',
  },
  /** Of a sprite's URL: nothing in it listens there. */
  no_http_server: {
    status: 502,
    exitCode: 1,
    retryable: true,
    fault: 'ours',
    hint: 'Start a server in the sprite on port 8080, or a service with an HTTP port.',
  },
  /** Of a sprite's URL: what listens there does not speak HTTP as it should. */
  bad_http_answer: {
    status: 502,
    exitCode: 1,
    retryable: true,
    fault: 'ours',
    hint: 'Look at the log of the server in the sprite.',
  },
  /** Nobody knows how the command ended: running it again may do its work twice. */
  session_lost: {
    status: 502,
    exitCode: 1,
    retryable: false,
    fault: 'ours',
    hint: 'See what the command has done before it is run again.',
  },
  sprite_failed: {
    status: 503,
    exitCode: 1,
    retryable: false,
    fault: 'ours',
    hint: 'POST …/recover starts it from the best state there is.',
  },
  not_ready: { status: 503, exitCode: 1, retryable: true, fault: 'ours', hint: 'Try again in a moment.' },
  shutting_down: { status: 503, exitCode: 1, retryable: true, fault: 'ours', hint: 'Try again in a moment.' },
  host_unfit: {
    status: 503,
    exitCode: 1,
    retryable: false,
    fault: 'ours',
    hint: 'sylphd doctor says what the host lacks.',
  },
  timeout: { status: 504, exitCode: 1, retryable: true, fault: 'ours', hint: 'Try again; the host may be busy.' },
  pool_full: {
    status: 507,
    exitCode: 1,
    retryable: true,
    fault: 'ours',
    hint: 'Delete checkpoints or sprites, or give the data directory more space.',
  },
} as const satisfies Record<
  string,
  { status: number; exitCode: number; retryable: boolean; fault: 'user' | 'ours'; hint: string }
>;

/** Code of a failure, a key of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable;

/** What a {@link SylphError} carries beyond its code and message. */
export interface ErrorDetails {
  /** What the person can do next, one sentence; absent: that of the {@link errorTable}. */
  hint?: string | undefined;
  /** Values for logs and for machines; never secrets. */
  context?: Record<string, unknown> | undefined;
  cause?: unknown;
}

/** The one error class. `message` is a sentence for a person; `code` is for programs. */
export class SylphError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly context: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SylphError';
    this.code = code;
    this.hint = details.hint ?? errorTable[code].hint;
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
    cause,
  });
}

/** `name_taken`, in the words existing clients know. */
export function nameTaken(name: string, cause?: unknown): SylphError {
  return new SylphError('name_taken', `A sprite named '${name}' already exists. Please choose a different name.`, {
    cause,
  });
}
