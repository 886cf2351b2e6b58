/** Reads a body piece by piece; leaving the loop cancels it. Not every browser iterates over streams by itself. */
export async function* chunksOf<T>(stream: ReadableStream<T>): AsyncGenerator<T, void, undefined> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // What broke the stream was thrown by the read; one that was left needs no answer.
    await reader.cancel().catch(() => undefined);
  }
}

/** All that a source yields. */
export async function gather<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}
