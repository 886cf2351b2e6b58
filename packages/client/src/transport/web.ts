import { timeoutError } from '../deadline.ts';
import { ClientError, connectionFailed, errorFromAnswer } from '../errors.ts';
import { BodyFrames, execFramesType } from '../exec/body-frames.ts';
import type { ExecFrame } from '../exec/frames.ts';
import { joinBytes } from '../join-bytes.ts';
import { chunksOf } from '../streams.ts';
import { webSocketOf } from './web-socket.ts';
import type { ChunkedOptions, ConnectOptions, Socket, Transport } from './transport.ts';

/** Longest input of an HTTP exec, bytes: it is gathered before it is sent. */
const maxBodyBytes = 64 * 2 ** 20;
const maxRefusalBytes = 64 * 1024;

/** What a platform can do beyond what all browsers can. */
export interface WebTransportOptions {
  /**
   * Opens a WebSocket; default: the platform's, which takes no headers and offers the token as a subprotocol. Servers that know nothing of that want headers, which other platforms than browsers can send:
   * `(url, headers) => new WebSocket(url, { headers })` in Node, Deno and Bun.
   */
  webSocket?: ((url: string, headers: Record<string, string>) => WebSocket) | undefined;
  /** Whether `fetch` sends streams over HTTP/1.1; default: no, as in browsers. */
  streamsRequests?: boolean | undefined;
}

/**
 * Sockets by the standards of the web: `fetch` and `WebSocket`. They show no reason for a refused upgrade, have no pings, and cannot hold the server back: when more than 16 MiB wait for a reader, the connection ends. Exec
 * output then goes on where it was as soon as there is room.
 */
export function webTransport(options: WebTransportOptions = {}): Transport {
  const open =
    options.webSocket ??
    ((url: string, headers: Record<string, string>) => new WebSocket(url, subprotocols(headers['authorization'])));
  return {
    streamsRequests: options.streamsRequests ?? false,
    connect: (request) => connect(request, open),
    postChunked,
  };
}

/** The token as the server takes it where there are no headers. */
function subprotocols(authorization: string | undefined): string[] {
  const [, token] = /^Bearer (.+)$/.exec(authorization ?? '') ?? [];
  if (token === undefined) return [];
  const base64 = btoa(Array.from(new TextEncoder().encode(token), (byte) => String.fromCharCode(byte)).join(''));
  return ['sylph', `bearer.${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`];
}

function connect(
  { url, headers, connectMs, answerMs, signal, events }: ConnectOptions,
  open: NonNullable<WebTransportOptions['webSocket']>,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const address = new URL(url);
    address.protocol = address.protocol.replace('http', 'ws');
    const ws = open(address.href, headers);
    ws.binaryType = 'arraybuffer';
    // The platform does not tell when the connection stands and only the answer is missing.
    const timeoutMs = connectMs + answerMs;
    const timer = setTimeout(() => fail(timeoutError(url.origin, timeoutMs)), timeoutMs);
    const opening = new AbortController();
    const settle = (): void => {
      clearTimeout(timer);
      opening.abort();
      signal.removeEventListener('abort', aborted);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error);
      ws.close();
    };
    const aborted = (): void => fail(signal.reason);
    const refused = (): void => fail(connectionFailed(url.origin, new Error('the WebSocket was not opened')));
    signal.addEventListener('abort', aborted, { once: true });
    ws.addEventListener('error', refused, { signal: opening.signal });
    ws.addEventListener('close', refused, { signal: opening.signal });
    ws.addEventListener('open', () => settle(), { signal: opening.signal });
    const socket = webSocketOf(ws, events);
    ws.addEventListener('open', () => resolve(socket), { once: true });
  });
}

async function* postChunked(options: ChunkedOptions): AsyncGenerator<ExecFrame, void, undefined> {
  const { url, headers, fetch, signal, connectMs, answerMs } = options;
  const body = options.body === undefined ? null : await gathered(options.body);
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', abort, { once: true });
  const timeoutMs = connectMs + answerMs;
  const timer = setTimeout(() => controller.abort(timeoutError(url.origin, timeoutMs)), timeoutMs);
  let answered = false;
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...(body === null ? {} : { 'content-type': 'application/octet-stream' }) },
      body: body as RequestInit['body'] & (Uint8Array | null),
      signal: controller.signal,
      redirect: 'error',
    });
    clearTimeout(timer);
    answered = true;
    if (!answer.ok) throw errorFromAnswer(answer.status, (await answer.text()).slice(0, maxRefusalBytes));
    if (answer.headers.get('content-type')?.startsWith(execFramesType) !== true || answer.body === null)
      throw new ClientError('protocol', 'the server answers with chunks whose borders this platform does not show', {
        hint: 'run the command over a WebSocket',
      });
    const frames = new BodyFrames();
    for await (const bytes of chunksOf(answer.body)) yield* frames.push(bytes);
  } catch (thrown) {
    if (controller.signal.aborted) throw controller.signal.reason;
    if (thrown instanceof ClientError) throw thrown;
    if (!answered) throw connectionFailed(url.origin, thrown);
    throw new ClientError('connection_lost', `the connection to ${url.origin} broke before the command ended`, {
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    controller.abort(new Error('the reader left'));
  }
}

/** Browsers send streams over HTTP/2 only. */
async function gathered(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > maxBodyBytes)
      throw new ClientError('body_too_large', `the input is longer than ${maxBodyBytes} bytes`, {
        hint: 'run the command over a WebSocket',
      });
    parts.push(part.slice());
  }
  return joinBytes(parts);
}
