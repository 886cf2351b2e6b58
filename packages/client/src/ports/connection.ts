import { timeoutError } from '../deadline.ts';
import { deferred } from '../deferred.ts';
import { ClientError } from '../errors.ts';
import { parseObject } from '../json.ts';
import type { ResolvedOptions } from '../options.ts';
import { PortSocket } from './socket.ts';

/** A TCP port as seen from inside a sprite. */
export interface PortTarget {
  /** Name or address; default `localhost`. */
  host?: string | undefined;
  port: number;
}

/** Longest piece sent in one message, bytes. */
const maxSendBytes = 64 * 1024;

/**
 * A TCP connection into a sprite. Read `input`: what is not read holds the service back. Dispose it to reset the connection.
 */
export class PortConnection implements AsyncDisposable {
  /** Address it goes to inside, e.g. `127.0.0.1:5432`. */
  readonly target: string;
  /** Bytes from the service, one reader. Ends when the service ended the connection; throws `connection_lost` when it broke. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Whether {@link endInput} is possible: older servers know only {@link end}. */
  readonly halfClose: boolean;
  readonly #socket: PortSocket;

  private constructor(socket: PortSocket, { target, halfClose }: Connected) {
    this.#socket = socket;
    this.target = target;
    this.halfClose = halfClose;
    this.input = bytesOf(socket);
  }

  /** Use the client's `dial`. */
  static async open(
    options: ResolvedOptions,
    url: URL,
    target: PortTarget,
    signal: AbortSignal | undefined,
  ): Promise<PortConnection> {
    const socket = await PortSocket.open(options, url, signal);
    const { connectMs } = options.timeouts;
    const late = deferred<never>();
    const timer = setTimeout(() => late.reject(timeoutError('the port', connectMs)), connectMs);
    try {
      await socket.send(JSON.stringify({ host: target.host ?? 'localhost', port: target.port, half_close: true }));
      return new PortConnection(socket, await Promise.race([answerOf(socket), late.promise]));
    } catch (thrown) {
      socket.terminate();
      throw thrown;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the connection is over, however it ended. */
  get closed(): Promise<void> {
    return this.#socket.closed;
  }

  /** Resolves when more may be written. Dropped when the connection is over: `input` says so. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxSendBytes)
      await this.#socket.send(bytes.subarray(at, at + maxSendBytes));
  }

  /** The service gets everything written and then the end of input; what it says still comes. Nothing can be written any more. Throws `protocol` where {@link halfClose} is false. */
  async endInput(): Promise<void> {
    if (!this.halfClose) throw new ClientError('protocol', 'the server knows no half-close', { hint: 'Use end().' });
    await this.#socket.send(JSON.stringify({ type: 'eof' }));
  }

  /** Ends the connection in order: the service gets everything written and then the end of input. What it says from now on is lost. */
  async end(): Promise<void> {
    await this.#socket.flushed();
    this.#socket.close();
    await this.#socket.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate();
    await this.#socket.closed;
  }
}

async function* bytesOf(socket: PortSocket): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { bytes, isText } of socket.messages) if (!isText) yield bytes;
}

interface Connected {
  target: string;
  halfClose: boolean;
}

/** What the server says about the connection. */
async function answerOf(socket: PortSocket): Promise<Connected> {
  for await (const { bytes, isText } of socket.messages) {
    const answer = isText ? parseObject(bytes) : undefined;
    if (answer?.['status'] === 'connected')
      return {
        target: typeof answer['target'] === 'string' ? answer['target'] : '',
        halfClose: answer['half_close'] === true,
      };
    if (typeof answer?.['status'] !== 'string')
      throw new ClientError('protocol', 'the server did not say whether the port is connected');
    const said = [answer['error'], answer['message']].find((text) => typeof text === 'string' && text !== '');
    const code =
      typeof answer['code'] === 'string' && /^[a-z_]+$/.test(answer['code']) ? answer['code'] : 'port_unreachable';
    throw new ClientError(
      code as ClientError['code'],
      typeof said === 'string' ? said : 'the port could not be connected',
    );
  }
  throw new ClientError('connection_lost', 'the server closed the connection before the port was connected', {
    retryable: true,
  });
}
