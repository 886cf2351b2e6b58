import { ClientError } from './errors.ts';
import { parseObject } from './json.ts';
import { chunksOf } from './streams.ts';

/** Longest line, characters. */
const maxLineLength = 2 ** 20;

/** Parses a body of JSON lines, object by object. `stalled` is called when nothing arrives for `stallMs`; it has to end the body. */
export async function* readLines(
  response: Response,
  watch: { stallMs: number; stalled: () => void },
): AsyncGenerator<Record<string, unknown>, void, undefined> {
  if (response.body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of watched(chunksOf(response.body), watch)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxLineLength) throw new ClientError('protocol', 'the server sent a line without end');
    for (const line of lines) if (line.trim() !== '') yield parseLine(line);
  }
  if (rest.trim() !== '') yield parseLine(rest);
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  watch: { stallMs: number; stalled: () => void },
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(watch.stalled, watch.stallMs);
      const next = await iterator.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function parseLine(line: string): Record<string, unknown> {
  const value = parseObject(line);
  if (value !== undefined) return value;
  throw new ClientError('protocol', `the server sent a line that is not a JSON object: ${line.slice(0, 200)}`);
}
