import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createJobRequest } from '@sylph/model';
import fc from 'fast-check';
import { maxJobInputLength, readJobInput } from './job-input.ts';

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

test('text arrives as it is, whatever pieces it comes in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 5 }), async (text, length) => {
      assert.equal(await readJobInput(pieces(new TextEncoder().encode(text), length)), text);
    }),
  );
});

test('what is no text is refused, also when its end is missing', async () => {
  for (const bytes of [[0xff], [0x61, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]])
    await assert.rejects(readJobInput(pieces(Uint8Array.from(bytes), 1)), { exitCode: 2, message: /UTF-8/ });
});

test('reads no further than the API takes', async () => {
  let given = 0;
  async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      given += 65_536;
      yield new Uint8Array(65_536);
    }
  }
  await assert.rejects(readJobInput(endless()), { exitCode: 2, hint: /sylph file push/ });
  assert.equal(given, maxJobInputLength + 65_536);
  const { stdin } = createJobRequest.shape;
  assert.ok(stdin.safeParse('x'.repeat(maxJobInputLength)).success);
  assert.ok(!stdin.safeParse('x'.repeat(maxJobInputLength + 1)).success);
});
