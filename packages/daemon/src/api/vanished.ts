import { SylphError } from '@sylph/model';
import type { FastifyRequest } from 'fastify';

/** Fires when the client of a request that has not been answered is gone: nobody waits for the sprite to wake any more. */
export function vanished({ raw }: FastifyRequest): AbortSignal {
  const gone = new AbortController();
  const fire = (): void => gone.abort(new SylphError('invalid_request', 'the client has gone'));
  if (raw.socket.destroyed) fire();
  else raw.socket.once('close', fire);
  return gone.signal;
}
