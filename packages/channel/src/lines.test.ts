import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from './lines.ts';

test('lines come out whole, however they are cut; those over the limit are left out', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 30 }).map((text) => text.replaceAll('\n', ''))),
      fc.array(fc.nat()),
      (texts, places) => {
        const wire = Buffer.from(texts.map((text) => `${text}\n`).join(''));
        const ends = [...places.map((place) => place % (wire.length + 1)), wire.length].toSorted((a, b) => a - b);
        const splitter = new LineSplitter(20);
        const lines = ends.flatMap((end, index) => splitter.push(wire.subarray(ends[index - 1] ?? 0, end))).map(String);
        assert.deepEqual(
          lines,
          texts.filter((text) => Buffer.byteLength(text) <= 20),
        );
      },
    ),
  );
});

test('an endless line takes no memory', () => {
  const splitter = new LineSplitter(1024);
  for (let i = 0; i < 1000; i += 1) assert.deepEqual(splitter.push(Buffer.alloc(4096, 'x')), []);
  assert.deepEqual(splitter.push(Buffer.from('\nnext\n')).map(String), ['next']);
});
