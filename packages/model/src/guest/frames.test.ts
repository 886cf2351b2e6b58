import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Frame,
  FrameDecoder,
  decodeOffsetPayload,
  encodeFrame,
  encodeOffsetFrame,
  frameHeader,
} from './frames.ts';
import { maxFramePayloadBytes } from './process.ts';

const frames = fc.array(
  fc.record({
    type: fc.integer({ min: 0, max: 255 }),
    payload: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 1000, maxLength: 3000 })),
  }),
  { maxLength: 20 },
);

/** Cuts `bytes` at the given places. */
function cut(bytes: Buffer, places: number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

function decode(chunks: Buffer[]): { frames: { type: number; payload: number[] }[]; pendingBytes: number } {
  const decoder = new FrameDecoder();
  const decoded = chunks.flatMap((chunk) =>
    [...decoder.push(chunk)].map((frame: Frame) => ({ type: frame.type, payload: [...frame.payload] })),
  );
  return { frames: decoded, pendingBytes: decoder.pendingBytes };
}

test('frames come out as they went in, however they are cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 60 }), (sent, places) => {
      const wire = Buffer.concat(sent.map((frame) => encodeFrame(frame.type, frame.payload)));
      assert.deepEqual(decode(cut(wire, places)), {
        frames: sent.map((frame) => ({ type: frame.type, payload: [...frame.payload] })),
        pendingBytes: 0,
      });
    }),
  );
});

test('frames come out byte by byte', () => {
  const wire = Buffer.concat([
    encodeFrame(17, Buffer.from('abc')),
    encodeFrame(18),
    encodeOffsetFrame(2, 2 ** 40 + 7, Buffer.from('x')),
  ]);
  const { frames: decoded, pendingBytes } = decode([...wire].map((byte) => Buffer.from([byte])));
  assert.deepEqual(
    decoded.map((frame) => frame.type),
    [17, 18, 2],
  );
  assert.equal(pendingBytes, 0);
});

test('a cut stream shows as pending bytes', () => {
  fc.assert(
    fc.property(frames, fc.nat(), (sent, place) => {
      const wire = Buffer.concat(sent.map((frame) => encodeFrame(frame.type, frame.payload)));
      const end = place % (wire.length + 1);
      const { frames: decoded, pendingBytes } = decode([wire.subarray(0, end)]);
      assert.equal(decoded.reduce((sum, frame) => sum + 5 + frame.payload.length, 0) + pendingBytes, end);
    }),
  );
});

test('a frame over the limit is refused at its header, wherever that is cut', () => {
  fc.assert(
    fc.property(fc.integer({ min: maxFramePayloadBytes + 1, max: 2 ** 32 - 1 }), fc.nat({ max: 5 }), (length, at) => {
      const header = frameHeader(17, length);
      assert.throws(
        () => decode([encodeFrame(16, Buffer.from('{}')), header.subarray(0, at), header.subarray(at)]),
        /more than/,
      );
    }),
  );
  assert.equal(
    decode([Buffer.concat([frameHeader(17, maxFramePayloadBytes), Buffer.alloc(maxFramePayloadBytes)])]).frames.length,
    1,
  );
});

test('offsets survive the trip, up to 2^53', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 50 }), (offset, bytes) => {
      const [frame] = decode([encodeOffsetFrame(2, offset, bytes)]).frames;
      const payload = decodeOffsetPayload(Buffer.from(frame?.payload ?? []));
      assert.equal(payload.offset, offset);
      assert.deepEqual([...payload.bytes], [...bytes]);
    }),
  );
});

test('an offset payload that is short or beyond 2^53 is refused', () => {
  assert.throws(() => decodeOffsetPayload(Buffer.alloc(7)), /fewer than 8/);
  assert.throws(() => decodeOffsetPayload(Buffer.from('0020000000000000', 'hex')), /beyond 2\^53/);
  assert.equal(decodeOffsetPayload(Buffer.from('001fffffffffffff', 'hex')).offset, Number.MAX_SAFE_INTEGER);
});
