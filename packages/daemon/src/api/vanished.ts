import { SylphError } from '@sylph/model';
import type { FastifyReply } from 'fastify';

/** Fires when the client of a request that has not been answered is gone: nobody waits for the sprite to wake any more. */
export function vanished({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const fire = (): void => gone.abort(new SylphError('invalid_request', 'the client has gone'));
  // The end of the answer, not of the connection: one connection carries any number of requests.
  if (raw.destroyed) fire();
  else raw.once('close', fire);
  return gone.signal;
}
