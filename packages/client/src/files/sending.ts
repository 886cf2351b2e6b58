import { linkedController, timeoutError } from '../deadline.ts';
import type { Http } from '../http.ts';

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
      content: content instanceof Uint8Array ? content : streamOf(content, moved),
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
