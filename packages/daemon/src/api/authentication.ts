import type { Repository } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { FastifyInstance } from 'fastify';
import { authenticate, type Caller } from '../auth/tokens.ts';
import { offeredToken } from './subprotocol.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on every route behind {@link requireToken}. */
    caller: Caller;
  }
}

/** Asks every route of `app` for a bearer token: a WebSocket's may be among its subprotocols. */
export function requireToken(app: FastifyInstance, repository: Repository): void {
  // Fastify wants a first value; requests that reach a handler have a caller.
  app.decorateRequest('caller', null as unknown as Caller);
  app.addHook('onRequest', async (request) => {
    const { authorization } = request.headers;
    const token =
      authorization === undefined ? offeredToken(request.headers) : /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    const caller = token === undefined ? undefined : await authenticate(repository, token);
    if (caller === undefined) {
      throw new SylphError('unauthenticated', 'authentication failed', {
        hint:
          token === undefined
            ? 'Send the header "Authorization: Bearer <token>"; "sylphd token create" makes a token.'
            : 'The token is unknown, expired or revoked; "sylphd token create" makes a new one.',
      });
    }
    request.caller = caller;
    request.log = request.log.child({ org: caller.org.slug, tokenId: caller.tokenId });
  });
}
