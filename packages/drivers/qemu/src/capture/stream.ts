import { pageBytes } from '@sylph/model/page';

/** File magic and version of a migration stream (QEMU, docs/devel/migration/main.rst; migration/savevm.c). */
const magic = 0x5145564d;
const version = 3;
/** Section types (migration/savevm.h). */
const section = {
  eof: 0x00,
  start: 0x01,
  part: 0x02,
  end: 0x03,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;
/** Flags in the low bits of a RAM record's offset (migration/ram.c). */
const flag = { zero: 0x02, memorySize: 0x04, page: 0x08, endOfSection: 0x10, continue: 0x20 } as const;
const knownRecords: readonly number[] = [flag.zero, flag.page];

/** Bounds of what is kept in memory: states have some 100 KiB, firmware and ACPI blocks less than 4 MiB. */
const maxStateBytes = 64 << 20;
const maxKeptPages = 4096;
const maxMemoryBlocks = 64;
const maxConfigurationBytes = 64 * 1024;

/** Takes what belongs into the RAM file, in the order it was sent; a page sent again replaces what was there. */
export interface RamSink {
  /** One page at `offset` of RAM: `source[at … at + 4096]`, valid during the call only. */
  page(offset: number, source: Buffer, at: number): void;
  zero(offset: number): void;
}

/** The stream is not what QEMU writes. */
export class MalformedStreamError extends Error {
  constructor(message: string) {
    super(`migration stream: ${message}`);
    this.name = 'MalformedStreamError';
  }
}

/**
 * Splits QEMU's migration stream while it arrives: pages of the RAM block go to the sink, all else becomes a small stream that `-incoming` loads over the RAM file.
 *
 *     magic version [configuration] start(ram) { part(ram) }* command(switchover)? end(ram) device sections… eof
 *
 * Feed it with `push` in any chunking, of which it keeps nothing, then call `end`. Both throw {@link MalformedStreamError}; nothing is allocated on the stream's word beyond the bounds above.
 * A configuration section is left out: states load with `send-configuration=off`, like those of a stopped capture.
 */
export class StreamSplitter {
  readonly #sink: RamSink;
  readonly #block: { name: string; bytes: number };
  readonly #parser: Generator<undefined, void, undefined>;
  readonly #state: Buffer[] = [];
  #stateBytes = 0;
  /** Last record of each page outside the RAM block: `name`, NUL, offset → record. */
  readonly #kept = new Map<string, Buffer>();
  /** Block of the last record: a record with the flag `continue` belongs to it, also in a later section. */
  #current: string | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Bytes from `#at` on without which the parser cannot go on. */
  #wanted = 0;
  #finished = false;
  #failed = false;

  constructor(block: { name: string; bytes: number }, sink: RamSink) {
    this.#block = block;
    this.#sink = sink;
    this.#parser = this.#stream();
    this.#parser.next();
  }

  push(chunk: Buffer): void {
    if (this.#failed) throw new MalformedStreamError('used after it failed');
    this.#failed = true;
    let rest = chunk;
    while (this.#at < this.#buffer.length && rest.length > 0) {
      // Join no more than finishes what was begun: the chunk itself stays uncopied.
      const begun = this.#buffer.subarray(this.#at);
      const missing = Math.max(this.#wanted - begun.length, 0);
      this.#parse(Buffer.concat([begun, rest.subarray(0, missing)]));
      rest = rest.subarray(missing);
    }
    if (rest.length > 0) this.#parse(rest);
    this.#buffer = Buffer.from(this.#buffer.subarray(this.#at));
    this.#at = 0;
    this.#failed = false;
  }

  /** What `-incoming` wants. Throws when the stream is not complete. */
  end(): Buffer {
    if (!this.#finished) throw new MalformedStreamError('ended early');
    return Buffer.concat(this.#state);
  }

  #parse(bytes: Buffer): void {
    this.#buffer = bytes;
    this.#at = 0;
    this.#parser.next();
  }

  /** Waits until `n` bytes are there. */
  *#need(n: number): Generator<undefined, void, undefined> {
    this.#wanted = n;
    while (this.#buffer.length - this.#at < n) yield;
  }

  *#take(n: number): Generator<undefined, Buffer, undefined> {
    yield* this.#need(n);
    this.#at += n;
    return this.#buffer.subarray(this.#at - n, this.#at);
  }

  #keep(bytes: Buffer): Buffer {
    this.#stateBytes += bytes.length;
    if (this.#stateBytes > maxStateBytes)
      throw new MalformedStreamError(`device state of more than ${maxStateBytes} bytes`);
    // A copy: the chunk it lies in is much larger and would be held by it.
    this.#state.push(Buffer.from(bytes));
    return bytes;
  }

  *#stream(): Generator<undefined, void, undefined> {
    const head = this.#keep(yield* this.#take(8));
    if (head.readUInt32BE(0) !== magic || head.readUInt32BE(4) !== version)
      throw new MalformedStreamError(`not of version ${version}`);
    let ram = -1;
    for (;;) {
      const type = (yield* this.#take(1))[0];
      switch (type) {
        case section.configuration:
          yield* this.#configuration();
          break;
        case section.command:
          yield* this.#command();
          break;
        case section.start:
          if (ram !== -1) throw new MalformedStreamError('a second live section');
          ram = yield* this.#start();
          break;
        case section.part:
        case section.end:
          if ((yield* this.#take(4)).readUInt32BE(0) !== ram)
            throw new MalformedStreamError('part of an unknown section');
          yield* this.#ram(false);
          yield* this.#footer(ram);
          if (type === section.part) break;
          this.#keepRamEnd(ram);
          yield* this.#rest();
          return;
        default:
          throw new MalformedStreamError(`section type ${type} before the end of RAM`);
      }
    }
  }

  *#configuration(): Generator<undefined, void, undefined> {
    const length = (yield* this.#take(4)).readUInt32BE(0);
    if (length > maxConfigurationBytes) throw new MalformedStreamError(`configuration of ${length} bytes`);
    yield* this.#take(length);
  }

  *#command(): Generator<undefined, void, undefined> {
    const head = Buffer.from(yield* this.#take(4));
    const payload = yield* this.#take(head.readUInt16BE(2));
    this.#keep(Buffer.from([section.command]));
    this.#keep(head);
    this.#keep(payload);
  }

  *#start(): Generator<undefined, number, undefined> {
    this.#keep(Buffer.from([section.start]));
    const id = this.#keep(yield* this.#take(4)).readUInt32BE(0);
    const length = this.#keep(yield* this.#take(1))[0] as number;
    const name = this.#keep(yield* this.#take(length)).toString('latin1');
    if (name !== 'ram') throw new MalformedStreamError(`live section ${JSON.stringify(name)}`);
    this.#keep(yield* this.#take(8));
    yield* this.#ram(true);
    this.#keep(yield* this.#footer(id));
    return id;
  }

  *#footer(id: number): Generator<undefined, Buffer, undefined> {
    const footer = yield* this.#take(5);
    if (footer[0] !== section.footer || footer.readUInt32BE(1) !== id)
      throw new MalformedStreamError('section footer expected');
    return footer;
  }

  /** Records of one RAM section. The first section (`setup`) lists the blocks, which the state has to repeat. */
  *#ram(setup: boolean): Generator<undefined, void, undefined> {
    for (;;) {
      if (this.#buffer.length - this.#at < 8) yield* this.#need(8);
      const high = this.#buffer.readUInt32BE(this.#at);
      const low = this.#buffer.readUInt32BE(this.#at + 4);
      const flags = low & 0xfff;
      const offset = high * 2 ** 32 + (low - flags);
      if (setup) this.#keep(this.#buffer.subarray(this.#at, this.#at + 8));
      this.#at += 8;
      if (flags === flag.endOfSection) return;
      if (flags === flag.memorySize) {
        if (!setup) throw new MalformedStreamError('memory blocks listed twice');
        yield* this.#memoryBlocks(offset);
        continue;
      }
      const kind = flags & ~flag.continue;
      if (setup || !knownRecords.includes(kind))
        throw new MalformedStreamError(`RAM record with flags 0x${flags.toString(16)}`);
      if ((flags & flag.continue) === 0) {
        const length = (yield* this.#take(1))[0] as number;
        this.#current = (yield* this.#take(length)).toString('latin1');
      }
      const block = this.#current;
      if (block === undefined) throw new MalformedStreamError('page of no block');
      const size = kind === flag.page ? pageBytes : 1;
      if (this.#buffer.length - this.#at < size) yield* this.#need(size);
      if (block === this.#block.name) {
        if (offset >= this.#block.bytes) throw new MalformedStreamError('page beyond the end of RAM');
        if (kind === flag.page) this.#sink.page(offset, this.#buffer, this.#at);
        else this.#zero(offset);
      } else this.#keepPage(block, offset, kind);
      this.#at += size;
    }
  }

  #zero(offset: number): void {
    if (this.#buffer[this.#at] !== 0) throw new MalformedStreamError('page filled with another byte than 0');
    this.#sink.zero(offset);
  }

  *#memoryBlocks(totalBytes: number): Generator<undefined, void, undefined> {
    let [left, count, found] = [totalBytes, 0, false];
    while (left > 0) {
      if (++count > maxMemoryBlocks) throw new MalformedStreamError(`more than ${maxMemoryBlocks} memory blocks`);
      const length = this.#keep(yield* this.#take(1))[0] as number;
      const name = this.#keep(yield* this.#take(length)).toString('latin1');
      const bytes = Number(this.#keep(yield* this.#take(8)).readBigUInt64BE(0));
      if (bytes === 0) throw new MalformedStreamError('memory block of no size');
      if (name === this.#block.name) {
        if (bytes !== this.#block.bytes)
          throw new MalformedStreamError(`RAM of ${bytes} bytes instead of ${this.#block.bytes}`);
        found = true;
      }
      left -= bytes;
    }
    if (left !== 0 || !found) throw new MalformedStreamError('memory blocks do not add up');
  }

  #keepPage(block: string, offset: number, kind: number): void {
    const data = this.#buffer.subarray(this.#at, this.#at + (kind === flag.page ? pageBytes : 1));
    const name = Buffer.from(block, 'latin1');
    const record = Buffer.alloc(9 + name.length + data.length);
    record.writeBigUInt64BE(BigInt(offset) | BigInt(kind), 0);
    record[8] = name.length;
    name.copy(record, 9);
    data.copy(record, 9 + name.length);
    this.#kept.set(`${block}\0${offset}`, record);
    if (this.#kept.size > maxKeptPages) throw new MalformedStreamError(`more than ${maxKeptPages} pages outside RAM`);
  }

  /** One end section with the pages of firmware and tables in place of all that went into the RAM file. */
  #keepRamEnd(id: number): void {
    const head = Buffer.alloc(5);
    head[0] = section.end;
    head.writeUInt32BE(id, 1);
    this.#keep(head);
    for (const record of this.#kept.values()) this.#keep(record);
    const tail = Buffer.alloc(13);
    tail.writeUInt32BE(flag.endOfSection, 4);
    tail[8] = section.footer;
    tail.writeUInt32BE(id, 9);
    this.#keep(tail);
  }

  /** Device sections have no lengths: they are taken as they are, to the end. The loading QEMU checks them. */
  *#rest(): Generator<undefined, void, undefined> {
    for (;;) {
      if (this.#at < this.#buffer.length) {
        const last = this.#keep(this.#buffer.subarray(this.#at));
        this.#finished = last[last.length - 1] === section.eof;
        this.#at = this.#buffer.length;
      }
      this.#wanted = 1;
      yield;
    }
  }
}
