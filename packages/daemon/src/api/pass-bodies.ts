import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Leaves bodies as they are, whatever their type and length. */
export function passBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    '*',
    (_request: unknown, payload: IncomingMessage, done: (error: null, body: IncomingMessage) => void) =>
      done(null, payload),
  );
  app.addHook('onRequest', async (request) => {
    // Fastify answers 415 to a malformed type before it asks a parser.
    if (request.raw.headers['content-type'] !== undefined)
      request.raw.headers['content-type'] = 'application/octet-stream';
  });
}
