import { SylphError, type ErrorCode } from '@sylph/model';

/** A refusal or failure that a visitor is told of. */
export class EdgeFailure extends SylphError {
  /** Of the answer; of visitors' concern rather than what the code has for the API. */
  readonly answerStatus: number;
  readonly retryAfterS: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: { status?: number; hint?: string; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(code, message, { hint: details.hint, cause: details.cause });
    this.name = 'EdgeFailure';
    this.answerStatus = details.status ?? this.status;
    this.retryAfterS = details.retryAfterS;
  }

  /** Of anything thrown: internal failures keep their text to the log; a sprite that cannot start is 503, whatever the API says. */
  static of(thrown: unknown): EdgeFailure {
    if (thrown instanceof EdgeFailure) return thrown;
    const { code, message, hint } = SylphError.from(thrown);
    const cause = thrown;
    switch (code) {
      case 'internal':
        return new EdgeFailure('internal', 'an internal error', { cause });
      case 'timeout':
        return new EdgeFailure('timeout', message, { cause });
      case 'agent_failed':
        return new EdgeFailure('agent_failed', 'the sprite stopped answering, or was put to sleep or restarted', {
          hint,
          cause,
        });
      case 'too_many_sprites':
        return unavailable(code, 'as many sprites are awake as this host allows', { retryAfterS: 10, cause });
      case 'shutting_down':
      case 'not_ready':
        return unavailable(code, 'the server is starting or going down', { retryAfterS: 5, cause });
      default:
        return unavailable(code, `the sprite cannot start: ${message}`, { hint, retryAfterS: 30, cause });
    }
  }
}

function unavailable(
  code: ErrorCode,
  message: string,
  details: { hint?: string; retryAfterS: number; cause: unknown },
): EdgeFailure {
  return new EdgeFailure(code, message, { status: 503, ...details });
}
