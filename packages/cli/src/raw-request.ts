import { isUtf8 } from 'node:buffer';
import { ClientError, defaultTimeouts, parseBaseUrl, rootReason } from '@sylph/client';
import { maxCapturedBytes } from './exec/captured.ts';
import { CliError } from './failure.ts';

/** A request as it is to be sent. */
export interface RawRequest {
  baseUrl: string;
  token: string;
  method: string;
  /** Begins with `/`; may have a query. */
  path: string;
  /** Over those that are sent anyway. */
  headers: readonly [string, string][];
  body: string | AsyncIterable<Uint8Array> | undefined;
}

/**
 * Sends a request and resolves with the answer whose body is yet to be read. The answer has to begin within two minutes, unless a stream is sent; each of its pieces within the five that fetch allows.
 * No redirection is followed: the token is for this server.
 */
export async function apiRequest({ baseUrl, token, method, path, headers, body }: RawRequest): Promise<Response> {
  const base = parseBaseUrl(baseUrl);
  const all = new Headers({ authorization: `Bearer ${token}`, 'user-agent': 'sylph/0.1' });
  if (body !== undefined)
    all.set('content-type', typeof body === 'string' ? 'application/json' : 'application/octet-stream');
  for (const [name, value] of headers) all.set(name, value);
  const late = new AbortController();
  const timeoutMs = defaultTimeouts.lifecycleMs;
  const noAnswer = (): void =>
    late.abort(new ClientError('timeout', `${base} did not answer within ${timeoutMs / 1000} s`));
  const timer = typeof body === 'object' ? undefined : setTimeout(noAnswer, timeoutMs);
  try {
    return await fetch(base + path, {
      method,
      headers: all,
      signal: late.signal,
      redirect: 'manual',
      ...(body === undefined ? {} : { body: body as string, duplex: 'half' }),
    });
  } catch (thrown) {
    if (late.signal.aborted) throw late.signal.reason;
    throw new ClientError('connection_failed', `no answer came from ${base}: ${rootReason(thrown)}`, {
      hint: 'check the address and that sylphd runs there',
      retryable: true,
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** The body of an answer for programs: JSON as it is, else text, else base64. Throws for more than fits into one document. */
export async function readBody(answer: Response): Promise<{ encoding: 'json' | 'utf-8' | 'base64'; body: unknown }> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of answer.body ?? []) {
    length += bytes.length;
    if (length > maxCapturedBytes)
      throw new CliError(`the answer is longer than ${maxCapturedBytes} bytes`, { hint: 'leave --json out' });
    pieces.push(bytes);
  }
  const whole = Buffer.concat(pieces);
  if (!isUtf8(whole)) return { encoding: 'base64', body: whole.toString('base64') };
  const body = whole.toString();
  if (!/^application\/json\b/.test(answer.headers.get('content-type') ?? '')) return { encoding: 'utf-8', body };
  try {
    return { encoding: 'json', body: JSON.parse(body) };
  } catch {
    // It is not what it says: shown as the text it is.
    return { encoding: 'utf-8', body };
  }
}
