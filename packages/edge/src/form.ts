import type { ClientRequest } from './client.ts';
import { EdgeFailure } from './failure.ts';

/** Longest form: the way to a login page, and a token. */
const maxBytes = 16 * 1024;
/** It has to be there by then, ms. */
const timeoutMs = 10_000;

/**
 * The fields of a form that a page of this very host sent. Throws `forbidden` for one of another page, `body_too_large`, `invalid_request`.
 */
export async function readForm(request: ClientRequest, host: string): Promise<URLSearchParams> {
  const { origin, 'sec-fetch-site': from, 'content-type': type } = request.headers;
  if (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host)
    throw new EdgeFailure('forbidden', 'the form was sent by another page');
  if (typeof from === 'string' && from !== 'same-origin' && from !== 'none')
    throw new EdgeFailure('forbidden', 'the form was sent by another page');
  if (type?.split(';', 1)[0]?.trim() !== 'application/x-www-form-urlencoded')
    throw new EdgeFailure('invalid_request', 'this is no form');
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => request.destroy(), timeoutMs);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new EdgeFailure('body_too_large', 'the form is too large');
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return new URLSearchParams(Buffer.concat(chunks, bytes).toString('utf8'));
}
