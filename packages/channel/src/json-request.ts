import http2 from 'node:http2';
import { type ErrorCode, SylphError } from '@sylph/model';
import { openStream } from './data-session.ts';
import { agentFailed, textOf } from './failure.ts';

/** Largest JSON answer the host reads. */
export const maxJsonBytes = 1024 * 1024;

interface Answer {
  status: number;
  body: Buffer;
}

/**
 * One request over the data session and its whole answer. Rejects with `agent_failed` when the stream breaks or the answer is too long,
 * with the abort reason when `signal` fires, and as {@link refusal} says on an error status.
 */
export async function request(
  session: http2.ClientHttp2Session,
  method: string,
  path: string,
  options: { body?: unknown; signal: AbortSignal },
): Promise<Buffer> {
  const answer = await exchange(session, method, path, options);
  if (answer.status < 200 || answer.status > 299) throw refusal(answer.status, answer.body);
  return answer.body;
}

const refusalCodes: Record<number, ErrorCode> = {
  404: 'session_not_found',
  409: 'illegal_state',
  410: 'session_exited',
};

/** The error of an answer that is not 2xx: `session_not_found` for 404, `illegal_state` for 409, `session_exited` for 410, else `agent_failed`. */
export function refusal(status: number, body: Buffer): SylphError {
  return new SylphError(
    refusalCodes[status] ?? 'agent_failed',
    agentFailed(errorText(body) ?? `the guest's agent answered ${status}`).message,
    { context: { guestStatus: status } },
  );
}

function errorText(body: Buffer): string | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    const text = typeof parsed === 'object' && parsed !== null && 'error' in parsed ? parsed.error : undefined;
    return typeof text === 'string' && text !== '' ? text : undefined;
  } catch {
    // A body that is not JSON says nothing worth showing; the status does.
    return undefined;
  }
}

/** Parses a JSON answer with one of the model's schemas. Throws `agent_failed` on anything else. */
export function parseJson<T>(schema: { parse(value: unknown): T }, body: Buffer, what: string): T {
  try {
    return schema.parse(JSON.parse(body.toString('utf8')));
  } catch (error) {
    throw agentFailed(`the guest's agent gave ${what} that cannot be read`, error);
  }
}

function exchange(
  session: http2.ClientHttp2Session,
  method: string,
  path: string,
  options: { body?: unknown; signal: AbortSignal },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    options.signal.throwIfAborted();
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const stream = openStream(session, method, path, { endStream: body === undefined });
    const cancel = () => stream.close(http2.constants.NGHTTP2_CANCEL);
    options.signal.addEventListener('abort', cancel, { once: true });
    let status = 0;
    let bytes = 0;
    let failure: unknown;
    const chunks: Buffer[] = [];
    stream.on('response', (headers) => (status = headers[':status'] ?? 0));
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxJsonBytes) chunks.push(chunk);
      else cancel();
    });
    stream.on('error', (error) => (failure = error));
    stream.on('close', () => {
      options.signal.removeEventListener('abort', cancel);
      if (options.signal.aborted) reject(options.signal.reason);
      else if (bytes > maxJsonBytes)
        reject(agentFailed(`the guest's agent answered ${method} ${path} with more than ${maxJsonBytes} bytes`));
      else if (failure !== undefined || status === 0 || !stream.readableEnded) {
        reject(
          agentFailed(
            `the data session broke during ${method} ${path}${failure === undefined ? '' : `: ${textOf(failure)}`}`,
            failure,
          ),
        );
      } else resolve({ status, body: Buffer.concat(chunks, bytes) });
    });
    if (body !== undefined) stream.end(body);
  });
}
