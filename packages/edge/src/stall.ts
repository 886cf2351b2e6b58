import type { Duplex } from 'node:stream';
import type { ClientAnswer } from './answer.ts';
import type { ClientRequest } from './client.ts';

/** A connection or stream that knows how long nothing has moved on it; a large write that goes on counts as movement. */
interface Timed extends Duplex {
  setTimeout(timeoutMs: number, callback?: () => void): unknown;
}

/** Gives a client up that owes something and does not move: the rest of its body, or the room for the answer. One that waits for the sprite owes nothing. */
export function watchStall(
  request: ClientRequest,
  answer: ClientAnswer,
  { timeoutMs, giveUp }: { timeoutMs: number; giveUp: () => void },
): void {
  answer.setTimeout(timeoutMs, () => {
    const sends = !request.readableEnded && !request.isPaused() && !request.complete;
    if (sends || answer.writableLength > 0) giveUp();
  });
}

/** As {@link watchStall}, of a connection that carries bytes both ways: it owes the room for what waits. */
export function watchStalledSocket(
  stream: Duplex,
  { timeoutMs, giveUp }: { timeoutMs: number; giveUp: () => void },
): void {
  const timed = stream as Timed;
  // The server's own would end a connection that is merely silent.
  timed.removeAllListeners('timeout');
  timed.setTimeout(timeoutMs, () => {
    if (timed.writableLength > 0) giveUp();
  });
}
