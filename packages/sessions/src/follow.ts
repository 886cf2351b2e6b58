import { setTimeout as sleep } from 'node:timers/promises';
import { type GuestChannel, ProcessStartError, type ProcessStream, type SessionEnd } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { type PumpTarget, pump } from './pump.ts';

/** Pauses before a broken stream is opened again while the channel is well, ms. When they are used up without a byte in between the session is given up. */
const reattachMs: readonly number[] = [20, 50, 100, 200, 500, 1000, 1000, 2000, 2000, 5000, 5000];

/** Errors of a start that mean "there is no such program" to a shell: exit code 127; all others are 126 (POSIX, 2.8.2). */
const notFoundErrnos = new Set(['ENOENT', 'ENOTDIR']);

/** A connection to the guest; `signal` fires when it is over. */
export interface Connection {
  channel: GuestChannel;
  signal: AbortSignal;
}

/**
 * Follows a process to its end, over as many streams as it takes. `stream` is the one that starts it; without it the process is attached to.
 * Returns how it ended, or undefined when the connection was over first: the process may be running still.
 */
export async function follow(
  connection: Connection,
  id: string,
  stream: ProcessStream | undefined,
  target: PumpTarget,
  pausesMs = reattachMs,
): Promise<SessionEnd | undefined> {
  const { channel, signal } = connection;
  let current = stream;
  for (let broken = 0, reached = -1; !signal.aborted;) {
    try {
      current ??= channel.attachProcess(id, target.journal.end);
      const { code, signal: killedBy } = await pump(current, target, signal);
      return { how: 'exited', code, signal: killedBy, at: now() };
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error instanceof ProcessStartError)
        return {
          how: 'not-started',
          code: notFoundErrnos.has(error.errno) ? 127 : 126,
          reason: error.message,
          at: now(),
        };
      const { code, message, context } = SylphError.from(error);
      if (current === stream && context['guestStatus'] !== undefined)
        return { how: 'lost', reason: `the guest refused to start it: ${message}`, at: now() };
      if (code === 'session_not_found')
        return { how: 'lost', reason: 'the guest does not know the process any more', at: now() };
      broken = target.journal.end > reached ? 1 : broken + 1;
      reached = target.journal.end;
      if (broken > pausesMs.length) return { how: 'lost', reason: `its output cannot be read: ${message}`, at: now() };
    }
    current = undefined;
    // Ends early with the connection, as the loop then sees.
    await sleep(pausesMs[broken - 1], undefined, { signal }).catch(() => {});
  }
  return undefined;
}

function now(): string {
  return new Date().toISOString();
}
