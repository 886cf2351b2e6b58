/** A failure of the command line itself: one sentence, a hint, an exit code. */
export class CliError extends Error {
  /** Short name for programs, beside those of the server. */
  readonly code: string;
  readonly hint: string | undefined;
  /** 1 failure, 2 wrong use. */
  readonly exitCode: number;

  constructor(
    message: string,
    details: { code?: string; hint?: string | undefined; exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CliError';
    this.code = details.code ?? 'failed';
    this.hint = details.hint;
    this.exitCode = details.exitCode ?? 1;
  }
}

/** Wrong use: exit code 2. */
export function usageError(message: string, hint?: string): CliError {
  return new CliError(message, { code: 'usage', hint, exitCode: 2 });
}

/** The person pressed Ctrl+C, or a signal ended us: no message, the process dies of the signal. */
export class Interrupted extends Error {
  readonly signalName: 'SIGINT' | 'SIGTERM' | 'SIGHUP';

  constructor(signalName: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`ended by ${signalName}`);
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

/** Codes of the server and the client that mean wrong use. */
const usageCodes = new Set(['invalid_request', 'invalid_name', 'invalid_size', 'body_too_large']);

/** A failure as it is shown, whoever threw it. */
export interface Failure {
  message: string;
  code: string;
  hint: string | undefined;
  retryable: boolean;
  exitCode: number;
}

/** Describes anything thrown. Errors of the client are known by their fields, so that this file loads nothing. */
export function describe(thrown: unknown): Failure {
  if (thrown instanceof CliError)
    return {
      message: thrown.message,
      code: thrown.code,
      hint: thrown.hint,
      retryable: false,
      exitCode: thrown.exitCode,
    };
  if (thrown instanceof Error && thrown.name === 'ClientError') {
    const { code, hint, retryable } = thrown as Error & { code: string; hint: string | undefined; retryable: boolean };
    return { message: thrown.message, code, hint, retryable, exitCode: usageCodes.has(code) ? 2 : 1 };
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return {
    message,
    code: 'internal',
    hint: 'this is a fault of sylph; SYLPH_DEBUG=1 shows where',
    retryable: false,
    exitCode: 1,
  };
}
