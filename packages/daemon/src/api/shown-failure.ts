import { SylphError } from '@sylph/model';

/** A failure as it is shown outside of an error answer. What nobody foresaw keeps its text to the log, in which the caller has put it. */
export function shownFailure(thrown: unknown): SylphError {
  const error = SylphError.from(thrown);
  return error.code === 'internal' ? new SylphError('internal', 'an internal error; the log of sylphd has it') : error;
}
