import type { SessionEnd } from '@sylph/engine';

/** Signals the protocol has names for (RFC 4254, section 6.10). */
const named = new Set([
  'ABRT',
  'ALRM',
  'FPE',
  'HUP',
  'ILL',
  'INT',
  'KILL',
  'PIPE',
  'QUIT',
  'SEGV',
  'TERM',
  'USR1',
  'USR2',
]);

/** What a client is told of a session's end; `status` undefined: that nobody knows how it ended. */
export function exitOf(end: SessionEnd): { status: number | string | undefined; message: string | undefined } {
  switch (end.how) {
    case 'exited':
      if (end.signal === null) return { status: end.code, message: undefined };
      return { status: named.has(end.signal) ? end.signal : end.code, message: undefined };
    case 'not-started':
      // The reason is the last of its output.
      return { status: end.code, message: undefined };
    case 'lost':
      return { status: undefined, message: `the session was lost: ${end.reason}` };
    default:
      return end satisfies never;
  }
}
