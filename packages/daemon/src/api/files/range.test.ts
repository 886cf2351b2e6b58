import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rangeOf } from './range.ts';

test('ranges as clients write them', () => {
  assert.deepEqual(rangeOf('bytes=0-9'), { offset: 0, lengthBytes: 10 });
  assert.deepEqual(rangeOf('bytes = 5-'), { offset: 5 });
  assert.deepEqual(rangeOf('bytes=-7'), { offset: -7 });
  for (const header of [undefined, '', 'bytes=', 'bytes=-', 'bytes=5-4', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=a-b'])
    assert.equal(rangeOf(header), undefined, String(header));
});

test('whatever a header holds, a range is whole numbers or none', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9]{0,20}-[0-9]{0,20}$/)), (header) => {
      const range = rangeOf(header);
      if (range === undefined) return;
      assert.ok(Number.isSafeInteger(range.offset));
      assert.ok(range.lengthBytes === undefined || (Number.isSafeInteger(range.lengthBytes) && range.lengthBytes > 0));
    }),
  );
});
