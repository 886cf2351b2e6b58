import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestFileError } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FlowingAnswer } from '../flowing-answer.ts';

/** A refused body is read and dropped for so long, so that its sender reads the answer. */
const drainMs = 10_000;

/** Length of a body that says it. */
export function lengthOf({ headers }: FastifyRequest): number | undefined {
  const length = Number(headers['content-length'] ?? NaN);
  return Number.isSafeInteger(length) ? length : undefined;
}

/** A request's body as it comes. Throws {@link GuestFileError} 408 when nothing comes for `stallMs`. Leaving early leaves the connection alone. */
export async function* bodyOf(
  raw: IncomingMessage,
  path: string,
  stallMs: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = raw.iterator({ destroyOnReturn: false });
  const stalled = (): GuestFileError =>
    new GuestFileError({
      status: 408,
      errno: 'ETIMEDOUT',
      path,
      message: `the body stopped for ${stallMs / 1000} seconds`,
    });
  for (;;) {
    const timer = new AbortController();
    const late = sleep(stallMs, undefined, { signal: timer.signal }).then(() => {
      throw stalled();
    });
    // It loses the race, or its error is thrown below.
    late.catch(() => {});
    const next = await Promise.race([iterator.next(), late]).finally(() => timer.abort());
    if (next.done === true) return;
    yield next.value as Buffer;
  }
}

/** Reads and drops what is left of a body that is not wanted, and lets the connection go: it carries no further request. */
export function dropBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete) return;
  reply.header('connection', 'close');
  const timer = setTimeout(() => raw.destroy(), drainMs);
  raw.once('close', () => clearTimeout(timer));
  raw.on('error', () => {}); // The sender left: there is nothing more to drop.
  raw.resume();
}

/** Writes to a client, who has to take something every `stallMs`. */
export async function writeTo(
  answer: FlowingAnswer,
  bytes: Uint8Array | string,
  gone: AbortSignal,
  stallMs: number,
): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new SylphError('timeout', `the client took nothing for ${stallMs / 1000} seconds`)),
    stallMs,
  );
  try {
    await answer.write(bytes, AbortSignal.any([gone, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
