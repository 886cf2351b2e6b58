import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket as NetSocket } from 'node:net';
import type { WebSocket } from 'ws';
import { timeoutError } from '../deadline.ts';
import { ClientError, connectionFailed, errorFromAnswer } from '../errors.ts';
import { postChunked } from './chunked-post.ts';
import type { ConnectOptions, Socket, Transport } from './transport.ts';

/** Longest message taken from the server, bytes; it sends at most 64 KiB. */
const maxMessageBytes = 16 * 2 ** 20;
/** Unsent bytes beyond which `send` makes its caller wait. */
const highWaterBytes = 2 ** 18;
const closeMs = 2000;
/** A connection that is quiet for so long is probed by the system, ms. */
const keepAliveMs = 15_000;
const maxRefusalBytes = 64 * 1024;

/** Sockets of Node: unlike the browsers' they send headers, can be paused, and show why an upgrade was refused. */
export const nodeTransport: Transport = { streamsRequests: true, connect, postChunked };

async function connect(options: ConnectOptions): Promise<Socket> {
  // Loaded by those who need it: most commands are plain requests.
  const { WebSocket } = await import('ws');
  return new Promise((resolve, reject) => {
    if (options.signal.aborted) return reject(options.signal.reason);
    const url = new URL(options.url);
    url.protocol = url.protocol.replace('http', 'ws');
    let timer = setTimeout(() => fail(timeoutError(options.url.origin, options.connectMs)), options.connectMs);
    const connected = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => fail(timeoutError(options.url.origin, options.answerMs)), options.answerMs);
    };
    const ws = new WebSocket(url, {
      headers: options.headers,
      // The reference's rule 6: compression loses messages with some peers and saves nothing here.
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      finishRequest: (request: ClientRequest) => {
        request.once('socket', (socket: NetSocket) => {
          socket.setKeepAlive(true, keepAliveMs);
          if (socket.connecting) socket.once('connect', connected);
          else connected();
        });
        request.end();
      },
    });
    const aborted = (): void => fail(options.signal.reason);
    options.signal.addEventListener('abort', aborted, { once: true });
    let settled = false;
    const settle = (): boolean => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', aborted);
      return settled ? false : (settled = true);
    };
    const fail = (error: unknown): void => {
      if (!settle()) return;
      reject(error);
      ws.terminate();
    };

    ws.on('unexpected-response', (request, response) => {
      readRefusal(response)
        .then((text) => fail(errorFromAnswer(response.statusCode ?? 0, text)), fail)
        .finally(() => request.destroy());
    });
    // After the opening, errors only precede the close that is reported.
    ws.on('error', (error) => fail(connectionFailed(options.url.origin, error)));
    const events = options.events;
    ws.on('message', (data, isBinary) =>
      events.message(isBinary ? (data as Buffer) : (data as Buffer).toString('utf8')),
    );
    ws.on('pong', (data) => events.pong(data.toString('latin1')));
    ws.on('close', (code, reason) => {
      if (settled) events.closed({ code, reason: reason.toString('utf8') });
      else
        fail(
          new ClientError('connection_lost', `${options.url.origin} closed the connection at once`, {
            retryable: true,
          }),
        );
    });
    ws.on('open', () => {
      if (settle()) resolve(socketOf(ws));
    });
  });
}

function socketOf(ws: WebSocket): Socket {
  const open = (): boolean => ws.readyState === ws.OPEN;
  const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
  return {
    send(data) {
      if (!open()) return Promise.resolve();
      return new Promise((resolve) => {
        ws.send(data, () => resolve());
        if (ws.bufferedAmount < highWaterBytes) resolve();
        else void closed.then(resolve);
      });
    },
    ping: (text) => (open() ? ws.ping(text) : undefined),
    pause: () => ws.pause(),
    resume: () => ws.resume(),
    close(code) {
      ws.close(code);
      const timer = setTimeout(() => ws.terminate(), closeMs);
      void closed.then(() => clearTimeout(timer));
    },
    terminate: () => ws.terminate(),
  };
}

async function readRefusal(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > maxRefusalBytes) break;
  }
  return text;
}
