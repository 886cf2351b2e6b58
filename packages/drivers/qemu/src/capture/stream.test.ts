import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageBytes } from '@sylph/model';
import fc from 'fast-check';
import { MalformedStreamError, type RamSink, StreamSplitter } from './stream.ts';

const ramPages = 16;
const ramBytes = ramPages * pageBytes;
const biosPages = 4;

/** A page record: of which block, which page, and the byte it is filled with; 0 is sent as a zero record. */
interface Sent {
  block: 'ram' | 'bios';
  page: number;
  fill: number;
}

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const footer = Buffer.concat([Buffer.from([0x7e]), u32(2)]);
const endOfSection = u64(0x10);
const head = Buffer.concat([u32(0x5145564d), u32(3)]);
const setup = Buffer.concat([
  Buffer.from([0x01]),
  u32(2),
  text('ram'),
  u32(0),
  u32(4),
  u64((ramPages + biosPages) * pageBytes + 0x04),
  ...[text('ram'), u64(ramBytes), text('bios'), u64(biosPages * pageBytes)],
  endOfSection,
  footer,
]);
const devices = Buffer.from('\x04 what devices say \x00', 'latin1');

function records(rounds: Sent[][]): Buffer {
  let last = '';
  const sections = rounds.map((round, index) => {
    const type = index === rounds.length - 1 ? 0x03 : 0x02;
    const pages = round.map(({ block, page, fill }) => {
      const flags = (fill === 0 ? 0x02 : 0x08) | (block === last ? 0x20 : 0);
      const name = block === last ? Buffer.alloc(0) : text(block);
      last = block;
      return Buffer.concat([
        u64(page * pageBytes + flags),
        name,
        fill === 0 ? Buffer.from([0]) : Buffer.alloc(pageBytes, fill),
      ]);
    });
    return Buffer.concat([Buffer.from([type]), u32(2), ...pages, endOfSection, footer]);
  });
  const switchover = Buffer.concat([Buffer.from([0x08]), u16(11), u16(0)]);
  return Buffer.concat([...sections.slice(0, -1), switchover, ...sections.slice(-1)]);
}

const streamOf = (rounds: Sent[][], options: { configuration?: boolean } = {}): Buffer =>
  Buffer.concat([
    head,
    options.configuration === true
      ? Buffer.concat([Buffer.from([0x07]), u32(7), Buffer.from('microvm')])
      : Buffer.alloc(0),
    setup,
    records(rounds),
    devices,
  ]);

class Memory implements RamSink {
  readonly bytes = Buffer.alloc(ramBytes, 0xee);
  page(offset: number, source: Buffer, at: number): void {
    source.copy(this.bytes, offset, at, at + pageBytes);
  }
  zero(offset: number): void {
    this.bytes.fill(0, offset, offset + pageBytes);
  }
}

function split(stream: Buffer, chunkSizes: readonly number[]): { memory: Memory; state: Buffer } {
  const memory = new Memory();
  const splitter = new StreamSplitter({ name: 'ram', bytes: ramBytes }, memory);
  for (let at = 0, index = 0; at < stream.length; index++) {
    const size = chunkSizes[index % chunkSizes.length] ?? stream.length;
    const chunk = Buffer.from(stream.subarray(at, at + size));
    splitter.push(chunk);
    // It keeps nothing of it.
    chunk.fill(0xee);
    at += size;
  }
  return { memory, state: splitter.end() };
}

const sent = fc.oneof(
  fc.record({ block: fc.constant<'ram'>('ram'), page: fc.nat(ramPages - 1), fill: fc.nat(255) }),
  fc.record({ block: fc.constant<'bios'>('bios'), page: fc.nat(biosPages - 1), fill: fc.nat(255) }),
);
const rounds = fc.array(fc.array(sent, { maxLength: 20 }), { minLength: 1, maxLength: 4 });
const chunkSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20_000 })), {
  minLength: 1,
  maxLength: 8,
});

test('RAM goes to the sink, all else to a state that is the same for every chunking', () => {
  fc.assert(
    fc.property(rounds, chunkSizes, fc.boolean(), (sentRounds, sizes, configuration) => {
      const { memory, state } = split(streamOf(sentRounds, { configuration }), sizes);
      const expected = Buffer.alloc(ramBytes, 0xee);
      const kept = new Map<number, Sent>();
      for (const one of sentRounds.flat()) {
        if (one.block === 'ram') expected.fill(one.fill, one.page * pageBytes, (one.page + 1) * pageBytes);
        else kept.set(one.page, one);
      }
      assert.ok(memory.bytes.equals(expected));
      const again = split(state, [state.length]);
      assert.ok(
        again.memory.bytes.every((byte) => byte === 0xee),
        'the state holds a page of RAM',
      );
      assert.ok(again.state.equals(state), 'splitting a state changes nothing');
      assert.equal(state.subarray(state.length - devices.length).compare(devices), 0);
      for (const one of kept.values()) if (one.fill !== 0) assert.ok(state.includes(Buffer.alloc(pageBytes, one.fill)));
    }),
    { numRuns: 200 },
  );
});

test('the state has no configuration section', () => {
  assert.equal(split(streamOf([[]], { configuration: true }), [1000]).state[8], 0x01);
});

test('a stream cut anywhere is an error', () => {
  const stream = streamOf([[{ block: 'ram', page: 1, fill: 7 }], [{ block: 'bios', page: 0, fill: 9 }]]);
  const beforeDevices = stream.length - devices.length;
  fc.assert(
    fc.property(fc.nat(beforeDevices), chunkSizes, (length, sizes) => {
      assert.throws(() => split(stream.subarray(0, length), sizes), MalformedStreamError);
    }),
  );
});

test('any bytes are either split or refused', () => {
  const stream = streamOf([
    [
      { block: 'ram', page: 1, fill: 7 },
      { block: 'ram', page: 2, fill: 0 },
    ],
    [{ block: 'bios', page: 0, fill: 9 }],
  ]);
  const flips = fc.array(fc.tuple(fc.nat(stream.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(flips, chunkSizes, (changes, sizes) => {
      const damaged = Buffer.from(stream);
      for (const [at, byte] of changes) damaged[at] = byte;
      try {
        split(damaged, sizes);
      } catch (error) {
        assert.ok(error instanceof MalformedStreamError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('what lies or exceeds its bounds is refused', () => {
  const bad: Record<string, Buffer> = {
    'another magic': Buffer.concat([u32(1), u32(3)]),
    'another version': Buffer.concat([u32(0x5145564d), u32(4)]),
    'a configuration without measure': Buffer.concat([head, Buffer.from([0x07]), u32(0xffff_ffff)]),
    'an unknown live section': Buffer.concat([head, Buffer.from([0x01]), u32(2), text('dirty-bitmap'), u32(0), u32(1)]),
    'a page beyond RAM': Buffer.concat([
      head,
      setup,
      Buffer.from([0x02]),
      u32(2),
      u64(ramBytes + 0x08),
      text('ram'),
      Buffer.alloc(pageBytes),
    ]),
    'a page of no block': Buffer.concat([head, setup, Buffer.from([0x02]), u32(2), u64(0x28), Buffer.alloc(pageBytes)]),
    'an unknown record': Buffer.concat([head, setup, Buffer.from([0x02]), u32(2), u64(0x100), text('ram')]),
    'a part of another section': Buffer.concat([head, setup, Buffer.from([0x02]), u32(3)]),
    'RAM of another size': Buffer.concat([
      head,
      Buffer.from([0x01]),
      u32(2),
      text('ram'),
      u32(0),
      u32(4),
      u64(pageBytes + 4),
      text('ram'),
      u64(pageBytes),
    ]),
    'blocks that do not add up': Buffer.concat([
      head,
      Buffer.from([0x01]),
      u32(2),
      text('ram'),
      u32(0),
      u32(4),
      u64(pageBytes + 4),
      text('bios'),
      u64(2 * pageBytes),
    ]),
    'another setup': Buffer.concat([head, setup, setup]),
    'a bad footer': Buffer.concat([head, setup.subarray(0, -1), Buffer.from([9])]),
    'an end before RAM': Buffer.concat([head, Buffer.from([0])]),
  };
  for (const [what, stream] of Object.entries(bad))
    assert.throws(() => split(stream, [stream.length]), MalformedStreamError, what);
});

test('a state without end does not fill memory', () => {
  const splitter = new StreamSplitter({ name: 'ram', bytes: ramBytes }, new Memory());
  splitter.push(streamOf([[]]));
  const chunk = Buffer.alloc(1 << 20, 1);
  assert.throws(() => {
    for (let mib = 0; mib < 100; mib++) splitter.push(chunk);
  }, MalformedStreamError);
});

test('a splitter that failed stays failed', () => {
  const splitter = new StreamSplitter({ name: 'ram', bytes: ramBytes }, new Memory());
  assert.throws(() => splitter.push(Buffer.alloc(8)), MalformedStreamError);
  assert.throws(() => splitter.push(streamOf([[]])), MalformedStreamError);
  assert.throws(() => splitter.end(), MalformedStreamError);
});
