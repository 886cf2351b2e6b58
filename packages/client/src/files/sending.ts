import { linkedController, timeoutError } from '../deadline.ts';
import { deferred } from '../deferred.ts';
import { ClientError } from '../errors.ts';
import type { Http } from '../http.ts';
import { joinBytes } from '../join-bytes.ts';
import type { Transport } from '../transport/transport.ts';

/** A request with a body that is streamed: it may take as long as it likes while bytes move, and then `lifecycleMs` for its answer. Returns the answer's JSON. */
export async function sendContent(
  http: Http,
  path: string,
  request: {
    query: Record<string, string | undefined>;
    content: Uint8Array | AsyncIterable<Uint8Array>;
    signal: AbortSignal | undefined;
    onBytes?: ((sentBytes: number) => void) | undefined;
  },
): Promise<unknown> {
  const { baseUrl, timeouts, signal } = http.options;
  const link = linkedController([request.signal, signal]);
  const late = (ms: number) => setTimeout(() => link.controller.abort(timeoutError(baseUrl, ms)), ms);
  let timer = late(timeouts.streamStallMs);
  let sent = 0;
  const moved = (bytes: number, over: boolean): void => {
    clearTimeout(timer);
    timer = late(over ? timeouts.lifecycleMs : timeouts.streamStallMs);
    request.onBytes?.((sent += bytes));
  };
  try {
    const { content, query } = request;
    const answer = await http.response(path, {
      method: 'PUT',
      query,
      content:
        content instanceof Uint8Array
          ? content
          : await bodyOf(content, moved, http.options.transport, link.controller.signal),
      signal: link.controller.signal,
    });
    const text = await answer.text();
    if (content instanceof Uint8Array) request.onBytes?.(content.length);
    return JSON.parse(text) as unknown;
  } finally {
    clearTimeout(timer);
    link.unlink();
  }
}

/** Longest content that is gathered, where a platform sends no streams. */
const maxGatheredBytes = 256 * 2 ** 20;

async function bodyOf(
  source: AsyncIterable<Uint8Array>,
  moved: (bytes: number, over: boolean) => void,
  { streamsRequests }: Transport,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array> | Uint8Array> {
  if (streamsRequests) return streamOf(source, moved);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of untilAborted(source, signal)) {
    bytes += piece.length;
    if (bytes > maxGatheredBytes)
      throw new ClientError('body_too_large', `more than ${maxGatheredBytes} bytes cannot be sent from here at once`, {
        hint: 'send it from a platform whose fetch takes streams',
      });
    pieces.push(piece.slice());
    moved(piece.length, false);
  }
  moved(0, true);
  return joinBytes(pieces);
}

/** Yields what the source yields; throws the signal's reason at once, also while the source is silent. */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const aborted = deferred<never>();
  aborted.promise.catch(() => undefined); // Thrown below by whoever waits then.
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const iterator = source[Symbol.asyncIterator]();
  try {
    signal.throwIfAborted();
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    // Not waited for: a source that is silent may never answer.
    iterator.return?.().then(undefined, () => undefined);
  }
}

/** Read as it is sent: one piece at a time. */
function streamOf(
  source: AsyncIterable<Uint8Array>,
  moved: (bytes: number, over: boolean) => void,
): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        for (;;) {
          const next = await iterator.next();
          moved(next.done === true ? 0 : next.value.length, next.done === true);
          if (next.done === true) return controller.close();
          if (next.value.length > 0) return controller.enqueue(next.value);
        }
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
