import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { writeCpio, type CpioEntry } from './cpio.ts';

/** Reads an archive back, as the kernel's init/initramfs.c does. */
function readCpio(
  bytes: Buffer,
): { path: string; mode: number; links: number; device: [number, number]; data: Buffer }[] {
  const entries = [];
  const align = (offset: number): number => Math.ceil(offset / 4) * 4;
  for (let at = 0; ;) {
    assert.equal(bytes.toString('latin1', at, at + 6), '070701');
    const field = (index: number): number =>
      Number.parseInt(bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const nameStart = at + 110;
    const path = bytes.toString('utf8', nameStart, nameStart + field(11) - 1);
    const dataStart = align(nameStart + field(11));
    const data = bytes.subarray(dataStart, dataStart + field(6));
    if (path === 'TRAILER!!!') {
      assert.equal(align(dataStart + data.length), bytes.length);
      return entries;
    }
    entries.push({ path, mode: field(1), links: field(4), device: [field(9), field(10)] as [number, number], data });
    at = align(dataStart + data.length);
  }
}

describe('writeCpio', () => {
  it('writes what reads back, whatever the lengths of names and contents', () => {
    const entry = fc.record({
      path: fc.stringMatching(/^[a-z][a-z/]{0,40}$/),
      mode: fc.integer({ min: 0, max: 0o777 }),
      data: fc.uint8Array({ maxLength: 50 }),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (files) => {
        const entries: CpioEntry[] = files.map(({ path, mode, data }) => ({
          kind: 'file',
          path,
          mode,
          data: Buffer.from(data),
        }));
        const read = readCpio(Buffer.concat([...writeCpio(entries)]));
        assert.deepEqual(
          read.map(({ path, mode, data }) => ({ path, mode, data: new Uint8Array(data) })),
          files.map(({ path, mode, data }) => ({ path, mode: mode | 0o100000, data: new Uint8Array(data) })),
        );
      }),
    );
  });

  it('writes directories, links and devices', () => {
    const entries: CpioEntry[] = [
      { kind: 'directory', path: 'dev', mode: 0o755 },
      { kind: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
      { kind: 'link', path: 'sh', target: 'bin/sh' },
    ];
    const [directory, console, link] = readCpio(Buffer.concat([...writeCpio(entries)]));
    assert.equal(directory?.mode, 0o040755);
    assert.deepEqual([console?.mode, console?.device], [0o020600, [5, 1]]);
    assert.deepEqual([link?.mode, link?.data.toString()], [0o120777, 'bin/sh']);
  });
});
