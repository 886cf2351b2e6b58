import type { IncomingMessage } from 'node:http';
import { SylphError } from '@sylph/model';
import type { FastifyInstance } from 'fastify';
import type { ApiLimits } from './deps.ts';
import { shortened } from './shortened.ts';

/**
 * Reads bodies as JSON whatever their `Content-Type` says: clients leave it out or get it wrong. An empty body is no body. A body that is too long or too slow ends the request.
 */
export function readJsonBodies(app: FastifyInstance, limits: Pick<ApiLimits, 'maxJsonBytes' | 'bodyTimeoutMs'>): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) =>
    parse(await collect(payload, limits)),
  );
  app.addHook('onRequest', async (request) => {
    // Fastify answers 415 to a malformed type before it asks a parser.
    if (request.raw.headers['content-type'] !== undefined) request.raw.headers['content-type'] = 'application/json';
  });
}

function parse(text: string): unknown {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text, (key, value: unknown) => {
      if (key === '__proto__') throw new SyntaxError('a key named __proto__');
      return value;
    });
  } catch (error) {
    throw new SylphError('invalid_request', `the body is not JSON: ${shortened((error as Error).message)}`, {
      cause: error,
    });
  }
}

async function collect(
  payload: IncomingMessage,
  { maxJsonBytes, bodyTimeoutMs }: Pick<ApiLimits, 'maxJsonBytes' | 'bodyTimeoutMs'>,
): Promise<string> {
  const tooLarge = new SylphError('body_too_large', `the body is longer than ${maxJsonBytes} bytes`, {
    hint: 'Large input goes through the stdin of a command.',
  });
  // What is left of a refused body is read and dropped, or the client could not read the answer; but not for ever.
  const timer = setTimeout(() => payload.destroy(), bodyTimeoutMs);
  payload.once('close', () => clearTimeout(timer));
  if (Number(payload.headers['content-length'] ?? 0) > maxJsonBytes) {
    payload.resume();
    throw tooLarge;
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    payload.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxJsonBytes) {
        chunks.length = 0;
        reject(tooLarge);
        return;
      }
      chunks.push(chunk);
    });
    payload.once('end', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    payload.once('error', (error) =>
      reject(new SylphError('invalid_request', 'the body ended early', { cause: error })),
    );
    payload.once('close', () =>
      reject(new SylphError('invalid_request', `the body was not there within ${bodyTimeoutMs / 1000} seconds`)),
    );
  });
}
