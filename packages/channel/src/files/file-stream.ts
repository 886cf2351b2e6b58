import { once } from 'node:events';
import http2 from 'node:http2';
import { GuestFileError } from '@sylph/engine';
import { guestFileFailure } from '@sylph/model';
import { cleanText } from '../clean-text.ts';
import { openStream } from '../data-session.ts';
import { agentFailed, textOf } from '../failure.ts';
import { maxJsonBytes, parseJson } from '../json-request.ts';

/** Longest answer that says why something cannot be done. */
const maxRefusalBytes = 64 * 1024;
/** Longest silence of a guest that is to send or to take more. */
const stallMs = 60_000;

type Headers = http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;

/** How a request about files is made. */
export interface FileRequest {
  method: 'GET' | 'PUT' | 'POST';
  path: string;
  signal: AbortSignal;
  /** Until the guest has begun to answer, from when it has everything. */
  answerMs: number;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; `lengthBytes` of it when that is known. */
  body?: AsyncIterable<Uint8Array> | undefined;
  lengthBytes?: number | undefined;
}

/**
 * One request about files and its answer, over a stream of its own. It ends with the signal, whose reason is then what everything rejects with. A request that is not sent to its end is reset, which the guest tells
 * from an end.
 */
export class FileStream implements Disposable {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #request: FileRequest;
  readonly #answer = Promise.withResolvers<Headers>();
  /** Resolves when nothing more need be sent. */
  readonly #settled = Promise.withResolvers<undefined>();
  #answered = false;
  /** The guest has said that its answer is whole: Node ends it also when the stream, the session or the VM is gone. */
  #whole = false;
  #failure: Error | undefined;
  readonly #cancel = (): void => this.#fail(this.#request.signal.reason);

  private constructor(stream: http2.ClientHttp2Stream, request: FileRequest) {
    this.#stream = stream;
    this.#request = request;
    this.#answer.promise.catch(() => {}); // Whoever waits for something else of it learns of the failure there.
    stream.on('error', (error) => (this.#failure ??= this.#broken(error)));
    stream.once('response', (headers) => {
      this.#answered = true;
      this.#answer.resolve(headers);
      this.#settled.resolve(undefined);
    });
    stream.once('trailers', (trailers: http2.IncomingHttpHeaders) => (this.#whole = trailers['x-end'] === '1'));
    stream.once('close', () => {
      request.signal.removeEventListener('abort', this.#cancel);
      this.#failure ??= stream.readableEnded ? undefined : this.#broken();
      this.#answer.reject(this.#failure ?? this.#broken());
      this.#settled.resolve(undefined);
    });
    request.signal.addEventListener('abort', this.#cancel, { once: true });
  }

  /** Sends a request. Resolves when the guest has accepted it; rejects with {@link GuestFileError} when it refuses. */
  static async open(
    session: http2.ClientHttp2Session,
    request: FileRequest,
  ): Promise<{ stream: FileStream; headers: Headers }> {
    request.signal.throwIfAborted();
    const { method, path, lengthBytes } = request;
    const json = request.json === undefined ? undefined : Buffer.from(JSON.stringify(request.json));
    const length = json?.length ?? lengthBytes;
    const stream = new FileStream(
      openStream(session, method, path, {
        endStream: json === undefined && request.body === undefined,
        headers: {
          ...(length === undefined ? {} : { 'content-length': length }),
          ...(request.body !== undefined && length === undefined ? { 'x-body': 'pieces' } : {}),
        },
      }),
      request,
    );
    try {
      if (json !== undefined) stream.#stream.end(json);
      else if (request.body !== undefined) await stream.#send(request.body);
      const headers = await stream.#headers();
      if (headers[':status'] !== 200) throw await stream.#refusal(headers);
      return { stream, headers };
    } catch (error) {
      stream[Symbol.dispose]();
      throw error;
    }
  }

  /** The whole answer, checked. */
  async json<T>(schema: { parse(value: unknown): T }, what: string): Promise<T> {
    return parseJson(schema, await this.#text(maxJsonBytes), what);
  }

  /** What the guest sends, as fast as it is read. `stalls`: the guest need not be quick. Leaving early ends the stream. */
  async *bytes({ stalls = false } = {}): AsyncGenerator<Buffer, void, undefined> {
    const iterator = this.#stream[Symbol.asyncIterator]();
    try {
      for (;;) {
        const timer = stalls ? undefined : this.#deadline(stallMs);
        const next = await this.#failing(iterator.next()).finally(() => clearTimeout(timer));
        if (next.done === true) {
          if (!this.#whole) throw this.#failure ?? this.#broken();
          return;
        }
        yield next.value as Buffer;
      }
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.#fail(agentFailed('the stream was closed'));
  }

  /** Sends a body, no faster than the guest takes it, and its end. Stops when the guest has answered before. */
  async #send(body: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = this.#stream;
    const inPieces = this.#request.lengthBytes === undefined;
    const iterator = body[Symbol.asyncIterator]();
    let unfinished = true;
    try {
      for (;;) {
        const next = await Promise.race([iterator.next(), this.#settled.promise]);
        unfinished = next?.done !== true;
        if (next === undefined || next.done === true) break;
        this.#write(next.value, inPieces);
        if (stream.writableNeedDrain) await this.#drained();
        if (this.#answered || stream.closed) break;
      }
    } finally {
      // Its source may wait for a client; nobody waits for it.
      if (unfinished) void iterator.return?.().catch(() => {});
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (unfinished) return;
    if (inPieces) stream.end(pieceHead(0));
    else stream.end();
  }

  /** Node ends a body also when its stream is reset, so one of unknown length says itself where it ends: pieces with their length before them, the last an empty one. */
  #write(bytes: Uint8Array, inPieces: boolean): void {
    if (bytes.length === 0) return;
    this.#stream.cork();
    if (inPieces) this.#stream.write(pieceHead(bytes.length));
    this.#stream.write(bytes);
    this.#stream.uncork();
  }

  async #drained(): Promise<void> {
    const waiting = new AbortController();
    const { signal } = waiting;
    const timer = this.#deadline(stallMs);
    try {
      // What ends it instead is found by who writes next, or waits for the answer.
      await Promise.race(['drain', 'response', 'close'].map((event) => once(this.#stream, event, { signal })));
    } catch (error) {
      throw this.#failure ?? this.#broken(error);
    } finally {
      clearTimeout(timer);
      waiting.abort();
    }
  }

  async #headers(): Promise<Headers> {
    const timer = this.#deadline(this.#request.answerMs);
    return this.#answer.promise.finally(() => clearTimeout(timer));
  }

  async #refusal(headers: Headers): Promise<GuestFileError> {
    const status = headers[':status'] ?? 0;
    const body = await this.#text(maxRefusalBytes);
    if (status < 400 || status > 599) throw agentFailed(`the guest's agent answered ${status}`);
    const said = parseJson(guestFileFailure, body, 'a refusal');
    const size = Number(headers['x-file-size'] ?? NaN);
    return new GuestFileError({
      status,
      errno: cleanText(said.code, 32),
      path: said.path,
      message: cleanText(said.error, 8192),
      sizeBytes: said.sizeBytes ?? (Number.isSafeInteger(size) && size >= 0 ? size : undefined),
    });
  }

  async #text(maxBytes: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    for await (const piece of this.bytes()) {
      sizeBytes += piece.length;
      if (sizeBytes > maxBytes) throw agentFailed(`the guest's agent answered with more than ${maxBytes} bytes`);
      pieces.push(piece);
    }
    return Buffer.concat(pieces, sizeBytes);
  }

  /** The first reason is what is told, whatever the stream says of itself. */
  async #failing<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.#failure ?? this.#broken(error);
    }
  }

  #deadline(afterMs: number): NodeJS.Timeout {
    return setTimeout(
      () => this.#fail(agentFailed(`the guest did not go on within ${afterMs} ms: ${this.#what()}`)),
      afterMs,
    );
  }

  #fail(reason: unknown): void {
    if (this.#stream.closed || this.#stream.destroyed) return;
    this.#failure ??= reason instanceof Error ? reason : new Error(textOf(reason));
    this.#stream.close(http2.constants.NGHTTP2_CANCEL);
  }

  #broken(error?: unknown): Error {
    const reason = error === undefined ? '' : `: ${textOf(error)}`;
    return agentFailed(`the data session broke during ${this.#what()}${reason}`, error);
  }

  #what(): string {
    return `${this.#request.method} ${this.#request.path.split('?', 1)[0] ?? ''}`;
  }
}

function pieceHead(lengthBytes: number): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(lengthBytes);
  return head;
}
