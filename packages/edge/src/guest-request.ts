import http from 'node:http';
import type { Duplex } from 'node:stream';
import { EdgeFailure } from './failure.ts';
import type { PooledRequest } from './guest-pool.ts';
import type { RawHeaders } from './heads.ts';
import type { Way } from './awake-sprite.ts';

/** A request to a guest, before its body. */
export interface GuestRequestHead {
  method: string;
  path: string;
  headers: RawHeaders;
}

/** What a guest answered: a message, or the connection itself. */
export type GuestAnswer =
  | { kind: 'message'; message: http.IncomingMessage }
  | { kind: 'upgrade'; message: http.IncomingMessage; stream: Duplex; head: Buffer };

/** The connection that was kept for the next request had gone. Nothing of an answer came. */
export class StaleConnection extends Error {}

/** Opens a request over a way. The caller writes its body and ends it. Throws `invalid_request` for what Node does not let through. */
export function openGuestRequest(way: Way, head: GuestRequestHead, maxHeaderSize: number): http.ClientRequest {
  const options: PooledRequest = { ...head, agent: way.pool, maxHeaderSize, setHost: false, dialled: way.dialled };
  try {
    return http.request(options);
  } catch (error) {
    throw new EdgeFailure('invalid_request', 'the request cannot be passed on', { cause: error });
  }
}

/**
 * Waits for the head of the answer. Rejects with {@link StaleConnection}, with `bad_http_answer`, with `timeout` after `timeoutMs`, and with the reason of `signal`; the request is gone then.
 */
export function answerOf(
  request: http.ClientRequest,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<GuestAnswer> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, signal } = options;
    const fail = (error: Error): void => {
      settle();
      reject(error);
      request.destroy();
    };
    const timer = setTimeout(
      () => fail(new EdgeFailure('timeout', `the server in the sprite sent no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    const leave = (): void => fail(signal.reason as Error);
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    };
    signal.addEventListener('abort', leave, { once: true });
    request.once('response', (message) => {
      settle();
      resolve({ kind: 'message', message });
    });
    request.once('upgrade', (message, stream, head) => {
      settle();
      resolve({ kind: 'upgrade', message, stream, head });
    });
    // Later ones show at the message.
    request.on('error', (error) => fail(failureOf(error, request.reusedSocket)));
    if (signal.aborted) leave();
  });
}

function failureOf(error: Error, reused: boolean): Error {
  if (error instanceof EdgeFailure) return error;
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'HPE_HEADER_OVERFLOW')
    return new EdgeFailure('bad_http_answer', 'the head of the answer from the sprite is too large', { cause: error });
  if (code.startsWith('HPE_') && code !== 'HPE_CLOSED_CONNECTION')
    return new EdgeFailure('bad_http_answer', 'the answer from the sprite is not HTTP', { cause: error });
  if (reused) return new StaleConnection('a kept connection had gone', { cause: error });
  return new EdgeFailure('bad_http_answer', 'the server in the sprite closed the connection without an answer', {
    cause: error,
  });
}
