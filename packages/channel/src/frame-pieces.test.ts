import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, encodeOffsetFrame, frameHeader, frameType, maxFramePayloadBytes } from '@sylph/model';
import fc from 'fast-check';
import { FramePieces } from './frame-pieces.ts';

const sent = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom('stdout' as const, 'stderr' as const),
      offset: fc.nat(),
      bytes: fc.uint8Array({ maxLength: 2000 }),
    }),
    fc.record({
      kind: fc.constant('other' as const),
      type: fc.constantFrom(16, 19, 20, 21, 99),
      payload: fc.uint8Array({ maxLength: 2000 }),
    }),
  ),
  { maxLength: 12 },
);

function collect(chunks: Buffer[]): string[] {
  const seen: { key: string; next: number; hex: string }[] = [];
  const decoder = new FramePieces({
    output: (stream, offset, bytes) => {
      const last = seen.at(-1);
      if (last?.key === stream && last.next === offset) {
        last.hex += bytes.toString('hex');
        last.next += bytes.length;
      } else seen.push({ key: stream, next: offset + bytes.length, hex: `${offset}:${bytes.toString('hex')}` });
    },
    frame: (frame) => seen.push({ key: String(frame.type), next: -1, hex: frame.payload.toString('hex') }),
  });
  for (const chunk of chunks) decoder.push(chunk);
  return seen.map((one) => `${one.key} ${one.hex}`);
}

test('output and other frames come out in order, the same however they are cut', () => {
  fc.assert(
    fc.property(sent, fc.array(fc.nat(), { maxLength: 80 }), (all, places) => {
      const wire = Buffer.concat(
        all.map((one) =>
          one.kind === 'other'
            ? encodeFrame(one.type, one.payload)
            : encodeOffsetFrame(frameType[one.kind], one.offset, one.bytes),
        ),
      );
      const ends = [...places.map((place) => place % (wire.length + 1)), wire.length].toSorted((a, b) => a - b);
      const cut = collect(ends.map((end, index) => wire.subarray(ends[index - 1] ?? 0, end)));
      assert.deepEqual(cut, collect([wire]));
      const plain = all.filter((one) => one.kind === 'other' || one.bytes.length > 0);
      const bytes = plain
        .map((one) => Buffer.from(one.kind === 'other' ? one.payload : one.bytes).toString('hex'))
        .join('');
      assert.equal(cut.map((text) => text.replace(/^\w+ (\d+:)?/, '')).join(''), bytes);
    }),
  );
});

test('a frame over the limit, or output without an offset, is refused at its header', () => {
  assert.throws(() => collect([frameHeader(frameType.stdout, maxFramePayloadBytes + 1)]), /more than/);
  assert.throws(
    () => collect([frameHeader(77, 2 ** 32 - 1).subarray(0, 3), frameHeader(77, 2 ** 32 - 1).subarray(3)]),
    /more than/,
  );
  assert.throws(() => collect([encodeFrame(frameType.stdout, Buffer.alloc(7))]), /fewer than 8/);
});
