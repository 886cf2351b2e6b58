import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { binaryHeader } from './frame.ts';

describe('binary frames', () => {
  it('say how long they are, at every kind of length', () => {
    const sizes = fc.oneof(fc.constantFrom(0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537), fc.nat(200_000));
    fc.assert(
      fc.property(sizes, fc.option(fc.nat(255), { nil: undefined }), (sizeBytes, firstByte) => {
        const header = binaryHeader(sizeBytes, firstByte);
        const whole = sizeBytes + (firstByte === undefined ? 0 : 1);
        assert.equal(header[0], 0x82);
        const short = header.readUInt8(1);
        // The shortest form is obligatory.
        const [length, at] =
          short < 126
            ? [short, 2]
            : short === 126
              ? [header.readUInt16BE(2), 4]
              : [Number(header.readBigUInt64BE(2)), 10];
        assert.equal(length, whole);
        assert.equal(short === 126, whole >= 126 && whole < 65_536);
        assert.deepEqual([...header.subarray(at)], firstByte === undefined ? [] : [firstByte]);
      }),
    );
  });
});
