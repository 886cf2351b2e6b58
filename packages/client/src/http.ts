import { ClientError, connectionFailed, errorFromAnswer } from './errors.ts';
import { linkedController, timeoutError, withDeadline } from './deadline.ts';
import { readLines } from './ndjson.ts';
import type { ResolvedOptions } from './options.ts';
import { chunksOf } from './streams.ts';

/** A request to the server. */
export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  query?: Record<string, string | undefined>;
  body?: unknown;
  /** Sent as it is, in the place of `body`. */
  content?: Uint8Array | ReadableStream<Uint8Array> | undefined;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
}

/** Longest answer that is read into memory, bytes. */
const maxAnswerBytes = 64 * 2 ** 20;

/** Requests to one server: joins addresses, sends the token, keeps deadlines, turns every failure into a ClientError. */
export class Http {
  readonly options: ResolvedOptions;

  constructor(options: ResolvedOptions) {
    this.options = options;
  }

  /** Address of a path of the API; names are to be encoded by the caller ({@link segment}). */
  url(path: string, query: Record<string, string | undefined> = {}): URL {
    const url = new URL(this.options.baseUrl + path);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    return url;
  }

  /** The answer's JSON; undefined for an empty one. */
  async json(path: string, request: RequestOptions = {}): Promise<unknown> {
    const text = await this.text(path, request);
    if (text === '') return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new ClientError('protocol', `the server's answer to ${path} is not JSON`, {
        hint: 'is this the address of a sylphd?',
        cause,
      });
    }
  }

  /** The answer's text. */
  async text(path: string, request: RequestOptions = {}): Promise<string> {
    const timeoutMs = request.timeoutMs ?? this.options.timeouts.restMs;
    const signals = [request.signal, this.options.signal];
    return withDeadline({ what: this.options.baseUrl, timeoutMs, signals }, async (signal) => {
      const response = await this.#send(path, request, signal);
      const text = await readBounded(response, maxAnswerBytes, this.options.baseUrl);
      if (!response.ok) throw errorFromAnswer(response.status, text, response.headers);
      return text;
    });
  }

  /**
   * The parsed lines of an NDJSON answer. The headers may take `timeoutMs`; after that every line may take `streamStallMs`.
   * Leaving the loop early ends the request.
   */
  async *lines(path: string, request: RequestOptions = {}): AsyncGenerator<Record<string, unknown>, void, undefined> {
    const { baseUrl, timeouts } = this.options;
    const link = linkedController([request.signal, this.options.signal]);
    try {
      const timeoutMs = request.timeoutMs ?? timeouts.lifecycleMs;
      const response = await withDeadline(
        { what: baseUrl, timeoutMs, signals: [link.controller.signal] },
        async (signal) => {
          signal.addEventListener('abort', () => link.controller.abort(signal.reason), { once: true });
          const answer = await this.#send(path, request, link.controller.signal);
          if (!answer.ok)
            throw errorFromAnswer(answer.status, await readBounded(answer, maxAnswerBytes, baseUrl), answer.headers);
          return answer;
        },
      );
      const stalled = (): void =>
        link.controller.abort(timeoutError(`the stream of ${baseUrl}`, timeouts.streamStallMs));
      yield* readLines(response, { stallMs: timeouts.streamStallMs, stalled });
    } catch (thrown) {
      if (link.controller.signal.aborted) throw link.controller.signal.reason;
      throw asLost(thrown, baseUrl);
    } finally {
      link.unlink();
      link.controller.abort(new Error('the reader left'));
    }
  }

  /**
   * The answer to a request, whose body the caller reads, or cancels. It has to begin within `timeoutMs`, unless a content is sent, whose sender watches over it. `signal` ends it at any time.
   */
  async response(path: string, request: RequestOptions & { signal: AbortSignal }): Promise<Response> {
    const { baseUrl, timeouts } = this.options;
    const begin = async (signal: AbortSignal): Promise<Response> => {
      const answer = await this.#send(path, request, signal);
      if (!answer.ok)
        throw errorFromAnswer(answer.status, await readBounded(answer, maxAnswerBytes, baseUrl), answer.headers);
      return answer;
    };
    if (request.content !== undefined) return begin(request.signal);
    const link = linkedController([request.signal, this.options.signal]);
    const timeoutMs = request.timeoutMs ?? timeouts.lifecycleMs;
    const timer = setTimeout(() => link.controller.abort(timeoutError(baseUrl, timeoutMs)), timeoutMs);
    try {
      return await begin(link.controller.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(path: string, request: RequestOptions, signal: AbortSignal): Promise<Response> {
    const { baseUrl, headers, fetch } = this.options;
    const body = request.body === undefined ? (request.content ?? null) : JSON.stringify(request.body);
    try {
      return await fetch(this.url(path, request.query), {
        method: request.method ?? 'GET',
        headers: {
          ...headers,
          accept: 'application/json',
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(request.content === undefined ? {} : { 'content-type': 'application/octet-stream' }),
          ...request.headers,
        },
        body: body as RequestInit['body'] & (string | null),
        signal,
        redirect: 'error',
        // Asked for by the standard when a stream is sent.
        ...(request.content instanceof ReadableStream ? { duplex: 'half' as const } : {}),
      });
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      throw connectionFailed(baseUrl, thrown);
    }
  }
}

/** One part of a path. */
export function segment(text: string): string {
  if (text === '' || text === '.' || text === '..') throw new ClientError('invalid_name', `"${text}" is not a name`);
  return encodeURIComponent(text);
}

async function readBounded(response: Response, maxBytes: number, baseUrl: string): Promise<string> {
  if (response.body === null) return '';
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  try {
    for await (const chunk of chunksOf(response.body)) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new ClientError('protocol', `the server's answer is longer than ${maxBytes} bytes`);
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (thrown) {
    throw asLost(thrown, baseUrl);
  }
  return text + decoder.decode();
}

function asLost(thrown: unknown, baseUrl: string): unknown {
  if (thrown instanceof ClientError) return thrown;
  return new ClientError('connection_lost', `the connection to ${baseUrl} broke in the middle of an answer`, {
    retryable: true,
    cause: thrown,
  });
}
