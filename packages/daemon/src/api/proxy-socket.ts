import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type GuestConnection, GuestDialError, type SpriteLease } from '@sylph/engine';
import { type ProxyAnswer, proxyEof, proxyRequest, SylphError } from '@sylph/model';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { RawData, WebSocket } from 'ws';
import * as z from 'zod';
import type { ClientSocket } from './client-socket.ts';
import { errorResponses, InvalidRequest } from './error-answers.ts';
import { acceptAwake, flowing, type AwakeSocket } from './awake-socket.ts';
import type { ApiParts } from './parts.ts';
import { shownFailure } from './shown-failure.ts';
import { websocketOnly } from './websocket.ts';

/** The first message has to be there by then; it says where to connect. */
const requestTimeoutMs = 10_000;
/** Longest first message, bytes. */
const maxRequestBytes = 4 * 1024;
/** Shortest time between `connected` and the first bytes: an existing client listens for bytes only a while after it (reference, rule 8: at least 10 ms). Timers may fire early by a fraction. */
const firstBytesMs = 15;
/** Longest binary message to a client. */
const maxMessageBytes = 64 * 1024;
/** A service whose client left in order may still take what was sent; after so long without progress its connection is reset. */
const lingerMs = 30_000;
const lingerLookMs = 1_000;

/** Close codes: RFC 6455, section 7.4.1, and the private range. */
const closeCode = {
  end: 1000,
  unsupported: 1003,
  refused: 1008,
  broken: 1011,
  again: 1012,
  noConnection: 4502,
  timeout: 4504,
};

const description = `One WebSocket is one TCP connection inside the sprite. Wakes the sprite, and keeps it awake while bytes flow: a connection that is silent for longer than the sprite's idle time lets it sleep, and is closed with 1012 then.

First message, within 10 s, to the server: text \`{"host":"localhost","port":5432}\`; \`host\` is a name, an IPv4 or an IPv6 address as seen from inside, by default \`localhost\`, which is 127.0.0.1 and then ::1. Answer: text \`{"status":"connected","target":"127.0.0.1:5432"}\`, or \`{"status":"error","error","message","code"}\` and a close. Then binary messages are the bytes, in both directions; the first ones to the client come at least 10 ms after \`connected\`. Text messages to the server are bytes too.
\`code\` is an errno name for a connection that was not made (\`ECONNREFUSED\`, \`EHOSTUNREACH\`, \`ENETUNREACH\`, \`ETIMEDOUT\`, \`ENOTFOUND\`, …), else one of the API's codes.

A close from the client ends the input (an abnormal one resets the connection), the end of the service's output closes the socket.

Half-close: a first message with \`"half_close":true\` is answered with \`"half_close":true\` beside \`connected\`. From then on text messages to the server are not bytes: \`{"type":"eof"}\` ends the input, once everything before it is delivered, and the service's answer still comes. Such a client listens from the start: its first bytes come without delay.

Close codes: 1000 the connection ended; 1003 the first message is no JSON text, or a later one is no \`eof\`; 1008 the first message does not fit, something came after \`eof\`, or the token is no longer valid; 4502 no connection; 4504 none in time; 1011 the connection was reset, or an internal error; 1012 the sprite was put to sleep, restarted or restored, or the server restarts: connect again.`;

/** `…/proxy`: TCP through a WebSocket. */
export const proxyRoutes =
  (parts: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { limits } = parts.deps;

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/proxy',
      constraints: websocketOnly,
      schema: {
        operationId: 'proxy',
        summary: 'Connect to a TCP port of a sprite (WebSocket only)',
        description,
        tags: ['ports'],
        params: z.object({ name: z.string() }),
        response: { 101: z.null().describe('Switching protocols'), ...errorResponses },
      },
      handler: (request, reply) =>
        acceptAwake(parts, request, reply, { again: 'connect again', connection: true }, serve),
    });

    /** Serves a socket until it is closed and what it sent has been taken. Never rejects. */
    async function serve({ socket, client, request, lease }: AwakeSocket): Promise<void> {
      const startedAt = Date.now();
      const used = flowing(lease);
      const input = new ClientInput(socket, limits.maxUnwrittenBytes, used);
      let target: string | undefined;
      try {
        const connected = await connect(client, input, lease, request);
        if (connected !== undefined) {
          target = connected.connection.target;
          await carry(client, input, connected, used);
        }
      } catch (error) {
        request.log.error({ err: error }, 'proxy socket failed');
        void client.close(closeCode.broken, shownFailure(error).message);
      }
      await client.closed;
      request.log.info({ target, durationMs: Date.now() - startedAt }, 'proxy socket closed');
    }
  };

/** A connection and what its client understands. */
interface Connected {
  connection: GuestConnection;
  halfClose: boolean;
}

/** Hears where to connect and connects. Undefined: there is no connection, and the client has been told, or has gone. */
async function connect(
  client: ClientSocket,
  input: ClientInput,
  { channel }: SpriteLease,
  { log }: FastifyRequest,
): Promise<Connected | undefined> {
  try {
    const first = await input.first(AbortSignal.any([client.gone, AbortSignal.timeout(requestTimeoutMs)]));
    const { half_close: halfClose, ...target } = parseRequest(first);
    const connection = await channel.dial(target, { signal: client.gone });
    const answer: ProxyAnswer = { status: 'connected', target: connection.target };
    await client.tell(halfClose ? { ...answer, half_close: true } : answer);
    return { connection, halfClose };
  } catch (error) {
    if (client.gone.aborted) return undefined;
    const { answer, code } = refusal(error);
    if (answer.code === 'internal') log.error({ err: error }, 'proxy socket failed');
    void client.tell(answer);
    void client.close(code, answer.error);
    return undefined;
  }
}

/** Throws `invalid_request`. */
function parseRequest({ data, isBinary }: { data: Buffer; isBinary: boolean }): z.output<typeof proxyRequest> {
  const wanted = 'the first message has to be text: {"host":"localhost","port":PORT}';
  if (isBinary || data.length > maxRequestBytes) throw new NoRequest(wanted);
  let value: unknown;
  try {
    value = JSON.parse(data.toString());
  } catch {
    // The text said nothing: what it should have been does.
    throw new NoRequest(wanted);
  }
  const request = proxyRequest.safeParse(value);
  if (!request.success) throw InvalidRequest.of(request.error, 'message');
  return request.data;
}

/** What came first is no request at all. */
class NoRequest extends SylphError {
  constructor(message: string) {
    super('invalid_request', message);
  }
}

function refusal(error: unknown): { answer: ProxyAnswer & { status: 'error' }; code: number } {
  if (error instanceof GuestDialError) {
    const answer = { status: 'error', error: error.message, message: error.message, code: error.errno } as const;
    return { answer, code: error.errno === 'ETIMEDOUT' ? closeCode.timeout : closeCode.noConnection };
  }
  const known =
    error instanceof DOMException && error.name === 'TimeoutError'
      ? new SylphError('timeout', `no message said where to connect within ${requestTimeoutMs / 1000} s`)
      : shownFailure(error);
  const { message } = known;
  const answer = { status: 'error', error: message, message, code: known.code } as const;
  if (error instanceof NoRequest) return { answer, code: closeCode.unsupported };
  if (known.status < 500 || known.code === 'timeout') return { answer, code: closeCode.refused };
  return { answer, code: known.code === 'agent_failed' ? closeCode.again : closeCode.broken };
}

/** Carries bytes both ways until the service or the client ends it. */
async function carry(
  client: ClientSocket,
  input: ClientInput,
  { connection, halfClose }: Connected,
  used: () => void,
): Promise<void> {
  const { stream } = connection;
  const over = closedOf(stream);
  const leave = (): void => void (input.closedInOrder ? linger(stream, input) : stream.destroy());
  if (client.gone.aborted) leave();
  else client.gone.addEventListener('abort', leave, { once: true });
  const mistake = (code: number, reason: string): void => {
    stream.destroy();
    void client.leave(code, reason);
  };
  input.passTo(stream, halfClose ? mistake : undefined);
  if (!halfClose) await sleep(firstBytesMs);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      used();
      // A client that has gone takes no more, but its connection may have input to take.
      for (let at = 0; at < chunk.length && !client.gone.aborted; at += maxMessageBytes)
        await Promise.race([client.send(chunk.subarray(at, at + maxMessageBytes)), client.closed]);
    }
  } catch {
    // It broke: the close below says so.
  }
  await over;
  if (client.gone.aborted) return;
  if (stream.readableEnded) return client.close(closeCode.end, '');
  if (connection.reset) return client.close(closeCode.broken, 'the connection was reset inside the sprite');
  return client.close(closeCode.again, 'the sprite was put to sleep, restarted or restored; connect again');
}

/** The client left in order: what it sent is still delivered, and the end of it. */
async function linger(stream: GuestConnection['stream'], input: ClientInput): Promise<void> {
  input.end(stream);
  let waitingBytes = stream.writableLength;
  for (let quietMs = 0; quietMs < lingerMs && !stream.closed; quietMs += lingerLookMs) {
    await Promise.race([sleep(lingerLookMs), closedOf(stream)]);
    if (stream.writableLength !== waitingBytes) quietMs = 0;
    waitingBytes = stream.writableLength;
  }
  stream.destroy();
}

function closedOf(stream: GuestConnection['stream']): Promise<void> {
  return new Promise((resolve) => (stream.closed ? resolve() : stream.once('close', () => resolve())));
}

/** What a client sends: the first message by itself, then bytes, no faster than they are taken. */
class ClientInput {
  readonly #socket: WebSocket;
  readonly #maxWaitingBytes: number;
  readonly #used: () => void;
  readonly #early: { data: Buffer; isBinary: boolean }[] = [];
  #take: (message: { data: Buffer; isBinary: boolean }) => void = (message) => {
    // Nobody takes more yet. What the library has read already still comes: as much as it reads at once.
    this.#socket.pause();
    this.#early.push(message);
    this.#arrived.resolve();
  };
  readonly #arrived = Promise.withResolvers<void>();
  /** The client said goodbye, rather than vanish. */
  closedInOrder = false;

  /** `used` is called as bytes go to a stream. */
  constructor(socket: WebSocket, maxWaitingBytes: number, used: () => void) {
    this.#socket = socket;
    this.#maxWaitingBytes = maxWaitingBytes;
    this.#used = used;
    socket.on('message', (data: RawData, isBinary) => this.#take({ data: data as Buffer, isBinary }));
    // 1005: a close without a code.
    socket.once('close', (code) => (this.closedInOrder = code === 1000 || code === 1001 || code === 1005));
  }

  /** The first message. Rejects with the reason of `signal`. */
  async first(signal: AbortSignal): Promise<{ data: Buffer; isBinary: boolean }> {
    signal.throwIfAborted();
    const aborted = once(signal, 'abort').then(() => Promise.reject(signal.reason as Error));
    await Promise.race([this.#arrived.promise, aborted]);
    return this.#early.shift() as { data: Buffer; isBinary: boolean };
  }

  /** From now on bytes go there. With `mistake`, the client knows half-close: it is called for messages that make no sense, after which nothing more is taken. */
  passTo(stream: GuestConnection['stream'], mistake?: (code: number, reason: string) => void): void {
    this.#take = ({ data, isBinary }) => {
      // A connection that is over takes nothing: its end is told to the client.
      if (stream.destroyed) return;
      const wrong = mistake && mistakeIn(data, isBinary, stream.writableEnded);
      if (wrong !== undefined) return mistake?.(wrong.code, wrong.reason);
      if (mistake && !isBinary) return this.end(stream);
      if (!stream.writable || data.length === 0) return;
      this.#used();
      stream.write(data);
      if (stream.writableLength > this.#maxWaitingBytes) this.#socket.pause();
    };
    // A stream whose input has ended does not drain, but it finishes.
    for (const event of ['drain', 'finish']) stream.on(event, () => this.#socket.resume());
    for (const message of this.#early.splice(0)) this.#take(message);
    if (stream.writableLength <= this.#maxWaitingBytes) this.#socket.resume();
  }

  /** Nothing follows. */
  end(stream: GuestConnection['stream']): void {
    if (stream.writable) stream.end();
  }
}

/** What is wrong with a message of a client that knows half-close. */
function mistakeIn(data: Buffer, isBinary: boolean, ended: boolean): { code: number; reason: string } | undefined {
  if (ended) return { code: closeCode.refused, reason: 'the input had ended' };
  if (isBinary || isEof(data)) return undefined;
  return {
    code: closeCode.unsupported,
    reason: 'with half_close, text is {"type":"eof"} and bytes are binary messages',
  };
}

function isEof(data: Buffer): boolean {
  if (data.length > maxRequestBytes) return false;
  try {
    return proxyEof.safeParse(JSON.parse(data.toString())).success;
  } catch {
    // It is no JSON, so it is none.
    return false;
  }
}
