import { ClientError } from './errors.ts';

/** Pauses before a broken stream is opened again, ms: doubled up to the longest. */
const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** Whether a connection broke, or a server is not back yet: opening the stream anew can help. */
export function isBroken(thrown: unknown): boolean {
  return (
    thrown instanceof ClientError &&
    ['connection_lost', 'connection_failed', 'timeout', 'shutting_down', 'not_ready'].includes(thrown.code)
  );
}

/** How long to wait after so many failures in a row, ms. */
export function pauseAfter(failures: number): number {
  return Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
}
