import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readLines } from './ndjson.ts';

const watch = { stallMs: 10_000, stalled: (): void => undefined };

test('lines come out whole, however the bytes arrive', async () => {
  const objects = fc.array(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean())), {
    maxLength: 10,
  });
  await fc.assert(
    fc.asyncProperty(objects, fc.integer({ min: 1, max: 50 }), fc.boolean(), async (sent, size, ends) => {
      const bytes = Buffer.from(sent.map((each) => JSON.stringify(each)).join('\n') + (ends ? '\n' : ''));
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      const found = await Array.fromAsync(readLines(new Response(ReadableStream.from(pieces)), watch));
      assert.deepEqual(JSON.stringify(found), JSON.stringify(sent));
    }),
    { numRuns: 50 },
  );
});

test('a line that is no object is refused', async () => {
  for (const text of ['[]', '1', 'x', 'null']) {
    await assert.rejects(Array.fromAsync(readLines(new Response(text), watch)), /not a JSON object/);
  }
});
