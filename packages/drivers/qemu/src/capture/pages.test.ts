import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pageBytes } from '@sylph/model';
import fc from 'fast-check';
import { type ReflinkDir, makeReflinkDir } from '../testing/reflink-dir.ts';
import { RamFile } from './pages.ts';

const pages = 64;
const ramBytes = pages * pageBytes;
let dir: ReflinkDir;
let count = 0;

before(async () => {
  dir = await makeReflinkDir(1);
});
after(async () => {
  await dir[Symbol.asyncDispose]();
});

const fills = (values: readonly number[]): Buffer =>
  Buffer.concat(values.map((value) => Buffer.alloc(pageBytes, value)));
/** Few values, so that equal pages and zeros are common. */
const fill = fc.nat(3);
const writes = fc.array(
  fc.record({ first: fc.nat(pages - 1), values: fc.array(fill, { minLength: 1, maxLength: 20 }), zero: fc.boolean() }),
  { maxLength: 12 },
);

async function write(
  origin: Buffer,
  steps: readonly { first: number; values: readonly number[]; zero: boolean }[],
): Promise<{ path: string; changedBytes: number; expected: Buffer }> {
  const originPath = path.join(dir.path, `origin-${++count}`);
  const target = path.join(dir.path, `target-${count}`);
  fs.writeFileSync(originPath, origin);
  const expected = Buffer.from(origin);
  const ram = new RamFile(originPath, target, ramBytes);
  for (const { first, values, zero } of steps) {
    const run = values.slice(0, pages - first);
    if (zero) {
      for (const index of run.keys()) ram.zero((first + index) * pageBytes);
      expected.fill(0, first * pageBytes, (first + run.length) * pageBytes);
    } else {
      ram.write(first * pageBytes, fills(run));
      fills(run).copy(expected, first * pageBytes);
    }
  }
  await ram.finish();
  ram.sync();
  ram.close();
  return { path: target, changedBytes: ram.changedBytes, expected };
}

test('the file holds the origin with what was written over it, in any order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fill, { minLength: pages, maxLength: pages }), writes, async (origin, steps) => {
      const result = await write(fills(origin), steps);
      assert.ok(fs.readFileSync(result.path).equals(result.expected));
      assert.equal(result.changedBytes % pageBytes, 0);
    }),
    { numRuns: 60 },
  );
});

test('pages equal to the origin are not written', async () => {
  const origin = fills(Array.from({ length: pages }, (_, index) => 1 + (index % 200)));
  const result = await write(origin, [
    { first: 0, values: Array.from({ length: pages }, (_, index) => (index === 5 ? 250 : 1 + index)), zero: false },
  ]);
  assert.equal(result.changedBytes, pageBytes);
});

test('runs of zeros become holes', async () => {
  const origin = Buffer.alloc(ramBytes, 7);
  const result = await write(origin, [{ first: 0, values: Array.from({ length: pages - 1 }, () => 0), zero: false }]);
  assert.ok(fs.readFileSync(result.path).equals(result.expected));
  assert.equal(fs.statSync(result.path).blocks * 512, pageBytes);
  assert.equal(result.changedBytes, ramBytes - pageBytes);
});

test('zeros over a hole of the origin need nothing', async () => {
  const result = await write(Buffer.alloc(ramBytes), [
    { first: 0, values: Array.from({ length: pages }, () => 1), zero: true },
  ]);
  assert.equal(result.changedBytes, 0);
});

test('RAM of another size is refused', () => {
  const origin = path.join(dir.path, 'short');
  fs.writeFileSync(origin, Buffer.alloc(pageBytes));
  assert.throws(() => new RamFile(origin, path.join(dir.path, 'short-target'), ramBytes), /4096 bytes instead of/);
});
