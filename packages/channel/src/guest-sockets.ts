import http2 from 'node:http2';
import type { AcceptedConnection, GuestConnection, GuestListener, GuestSockets, ListenAddress } from '@sylph/engine';
import { guestSocketLine, maxSocketLineBytes } from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { openStream, responseOf } from './data-session.ts';
import { withDeadline } from './deadline.ts';
import { agentFailed } from './failure.ts';
import { connectionOver, refusalOf } from './guest-connection.ts';
import { parseJson } from './json-request.ts';
import { LineSplitter } from './lines.ts';
import { PieceStream } from './piece-stream.ts';

/** Inside a socket is there or it is not; ms. */
const deadlineMs = 12_000;
/** Longest text of where a connection comes from. */
const maxFromLength = 64;

/** {@link GuestSockets} over a data session. */
export class HttpGuestSockets implements GuestSockets {
  readonly #session: () => http2.ClientHttp2Session;

  constructor(session: () => http2.ClientHttp2Session) {
    this.#session = session;
  }

  connect(
    { path, user }: { path: string; user: string },
    { signal }: { signal: AbortSignal },
  ): Promise<GuestConnection> {
    return this.#duplex(`connect?${new URLSearchParams({ path, user }).toString()}`, path, signal);
  }

  listen(where: ListenAddress, { user, signal }: { user: string; signal: AbortSignal }): Promise<GuestListener> {
    return withDeadline('a listener inside', deadlineMs, (inTime) => this.#listen({ ...where, user }, inTime), signal);
  }

  async #listen(request: object, signal: AbortSignal): Promise<GuestListener> {
    signal.throwIfAborted();
    const stream = openStream(this.#session(), 'POST', '/v1/sockets/listen', { endStream: false });
    // The close tells of every end.
    stream.on('error', () => {});
    const close = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', close, { once: true });
    try {
      stream.end(JSON.stringify(request));
      const status = (await responseOf(stream, 'while it was to listen'))[':status'] ?? 0;
      if (status !== 200) throw await refusalOf(stream, status, 'a socket to listen on');
      const lines = linesOf(stream);
      const first = (await lines.next()).value;
      if (first === undefined || !('listening' in first)) throw agentFailed('the guest does not say where it listens');
      return {
        address: cleanText(first.listening),
        connections: this.#accepted(lines),
        [Symbol.dispose]: close,
      };
    } catch (error) {
      close();
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener('abort', close);
    }
  }

  async *#accepted(lines: ReturnType<typeof linesOf>): AsyncGenerator<AcceptedConnection, void, undefined> {
    for await (const line of lines) {
      if (!('accepted' in line)) throw agentFailed('the guest says twice where it listens');
      const { accepted: id } = line;
      yield {
        from: cleanText(line.from, maxFromLength),
        take: ({ signal }) => this.#duplex(`accepted/${id}`, `the connection ${id}`, signal),
      };
    }
  }

  #duplex(path: string, to: string, signal: AbortSignal): Promise<GuestConnection> {
    return withDeadline(
      'a connection inside',
      deadlineMs,
      async (inTime) => {
        inTime.throwIfAborted();
        const stream = openStream(this.#session(), 'POST', `/v1/sockets/${path}`, { endStream: false });
        // Whoever waits for it hears of its close; the error adds nothing to that.
        stream.on('error', () => {});
        const connection = await connectionOver(stream, to, inTime);
        const pieces = new PieceStream(stream);
        return {
          target: connection.target,
          stream: pieces,
          get reset() {
            return connection.reset;
          },
        };
      },
      signal,
    );
  }
}

/** Lines until the host closes the stream; throws `agent_failed` when the guest does, or says what makes no sense. */
async function* linesOf(stream: http2.ClientHttp2Stream) {
  const splitter = new LineSplitter(maxSocketLineBytes);
  const isOurs = (): boolean => stream.rstCode === http2.constants.NGHTTP2_CANCEL;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>)
      for (const line of splitter.push(chunk)) yield parseJson(guestSocketLine, line, 'a line about a listener');
  } catch (error) {
    if (!isOurs()) throw agentFailed('a listener of the guest broke', error);
    return;
  }
  if (!isOurs()) throw agentFailed('the guest ended a listener');
}
