import { connect as connectTcp, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { timeoutError, withDeadline } from '../deadline.ts';
import { ClientError, connectionFailed, errorFromAnswer } from '../errors.ts';
import { decodeFrame, type ExecFrame } from '../exec/frames.ts';
import { BodyFrames, execFramesType } from '../exec/body-frames.ts';
import { ChunkParser } from './chunk-parser.ts';
import type { ChunkedOptions } from './transport.ts';

/**
 * `POST` whose answer is a frame per HTTP chunk (reference 4.6). It speaks HTTP/1.1 itself, because a frame has no length of its own and every
 * ready-made client joins and divides chunks as they happen to arrive. A proxy in between may do so too; the WebSocket is the way through proxies.
 */
export async function* postChunked(options: ChunkedOptions): AsyncGenerator<ExecFrame, void, undefined> {
  options.signal.throwIfAborted();
  const origin = options.url.origin;
  const socket = await open(options);
  const abort = (): void =>
    void socket.destroy(options.signal.reason instanceof Error ? options.signal.reason : new Error('aborted'));
  options.signal.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(() => socket.destroy(timeoutError(origin, options.answerMs)), options.answerMs);
  try {
    socket.write(head(options));
    if (options.body !== undefined)
      send(socket, options.body).catch((cause: unknown) => socket.destroy(cause instanceof Error ? cause : undefined));
    yield* answer(socket, () => clearTimeout(timer));
  } catch (thrown) {
    if (options.signal.aborted) throw options.signal.reason;
    if (thrown instanceof ClientError) throw thrown;
    throw new ClientError('connection_lost', `the connection to ${origin} broke before the command ended`, {
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

async function open(options: ChunkedOptions): Promise<Socket> {
  const { url } = options;
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port) || (secure ? 443 : 80);
  const socket = secure
    ? connectTls({ host, port, servername: host, ALPNProtocols: ['http/1.1'] })
    : connectTcp({ host, port, noDelay: true });
  try {
    await withDeadline({ what: url.origin, timeoutMs: options.connectMs, signals: [options.signal] }, (signal) =>
      once(socket, secure ? 'secureConnect' : 'connect', { signal }),
    );
    // From here on the reading loop learns of errors.
    socket.on('error', () => undefined);
    return socket;
  } catch (thrown) {
    socket.destroy();
    if (thrown instanceof ClientError || options.signal.aborted) throw thrown;
    throw connectionFailed(url.origin, thrown);
  }
}

function head({ url, headers, body }: ChunkedOptions): string {
  const all = {
    host: url.host,
    connection: 'close',
    ...headers,
    ...(body === undefined
      ? { 'content-length': '0' }
      : { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' }),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

async function send(socket: Socket, body: AsyncIterable<Uint8Array>): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once('close', resolve));
  for await (const bytes of body) {
    if (socket.destroyed) return;
    if (bytes.length === 0) continue;
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    const room = socket.write('\r\n');
    socket.uncork();
    if (!room) await Promise.race([new Promise<void>((resolve) => socket.once('drain', resolve)), closed]);
  }
  if (!socket.destroyed) socket.write('0\r\n\r\n');
}

async function* answer(socket: Socket, answered: () => void): AsyncGenerator<ExecFrame, void, undefined> {
  const parser = new ChunkParser();
  let status = 0;
  let frames: BodyFrames | undefined;
  let refusal = '';
  for await (const bytes of socket as AsyncIterable<Uint8Array>) {
    for (const part of parser.push(bytes)) {
      if (part.type === 'head') {
        answered();
        status = part.status;
        // Servers of old know no frames of this kind; one chunk is then one frame.
        if (part.headers.get('content-type')?.startsWith(execFramesType) === true) frames = new BodyFrames();
      } else if (part.type === 'chunk' && status === 200 && frames !== undefined) yield* frames.push(part.bytes);
      else if (part.type === 'chunk' && status === 200) yield decodeFrame(part.bytes);
      else if (part.type === 'chunk') refusal += Buffer.from(part.bytes).toString('utf8');
    }
    if (parser.complete && status === 200) return;
  }
  if (status !== 0 && status !== 200) throw errorFromAnswer(status, refusal);
  if (!parser.complete) throw new Error('the answer broke off');
}
