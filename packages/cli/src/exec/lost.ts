import { CliError, describe } from '../failure.ts';

/** Failures of the way to a session, which leave the session itself alone. */
const wayCodes = new Set(['connection_failed', 'connection_lost', 'timeout', 'not_ready', 'shutting_down']);

/** What a session failed of, with the way back to it where there is one. */
export function explainLoss(thrown: unknown, session: { id: string; sprite: string }): unknown {
  const { code, message } = describe(thrown);
  if (session.id === '' || !wayCodes.has(code)) return thrown;
  return new CliError(`lost the connection to session ${session.id} of ${session.sprite}: ${message}`, {
    code,
    hint: `it may go on there: sylph sessions attach ${session.id} -s ${session.sprite}`,
    cause: thrown,
  });
}
