// Splits QEMU's migration stream as it arrives. Format: docs/devel/migration and migration/{savevm,ram}.c of QEMU, stream version 3.
import fs from 'node:fs';
import { pageBytes } from './files.ts';

const magic = 0x5145564d;
const version = 3;
const section = { start: 0x01, part: 0x02, end: 0x03, configuration: 0x07, command: 0x08, footer: 0x7e } as const;
const flag = { zero: 0x02, memSize: 0x04, page: 0x08, eos: 0x10, continue: 0x20 } as const;
const zeroPage = Buffer.alloc(pageBytes);
/** Pages written at once: what writev takes (IOV_MAX). */
const longestRun = 1024;

/** A stream taken apart. */
export interface SplitStream {
  /** What `-incoming` wants over the RAM file. */
  state: Buffer;
  /** Pages of the last round, sent while the guest stood still; not written yet. */
  lastPages: { offset: number; data: Buffer }[];
}

/** Where the pages of guest RAM go. */
export interface SplitTarget {
  ramBlock: string;
  ramFd: number;
  ramBytes: number;
}

/** Reads a whole stream. Pages of guest RAM go to the file, those of other blocks (ROMs) stay in `state`. Throws on anything it does not know. */
export async function splitStream(source: AsyncIterable<Buffer>, target: SplitTarget): Promise<SplitStream> {
  return new Splitter(source, target).run();
}

/** Bytes of an async iterable. Call `need` before reading synchronously. */
class Reader {
  readonly #source: AsyncIterator<Buffer>;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  has(length: number): boolean {
    return this.#buffer.length - this.#at >= length;
  }

  async need(length: number): Promise<void> {
    while (!this.has(length)) {
      const { value, done } = await this.#source.next();
      if (done) throw new Error('the migration stream ended early');
      this.#buffer = this.#at === this.#buffer.length ? value : Buffer.concat([this.#buffer.subarray(this.#at), value]);
      this.#at = 0;
    }
  }

  /** The next bytes; they stay as they are. */
  take(length: number): Buffer {
    if (!this.has(length)) throw new Error('read past what was asked for');
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  async bytes(length: number): Promise<Buffer> {
    await this.need(length);
    return this.take(length);
  }

  async rest(): Promise<Buffer> {
    const parts = [this.#buffer.subarray(this.#at)];
    for (let next = await this.#source.next(); !next.done; next = await this.#source.next()) parts.push(next.value);
    return Buffer.concat(parts);
  }
}

class Splitter {
  readonly #reader: Reader;
  readonly #target: SplitTarget;
  readonly #state: Buffer[] = [];
  readonly #others: Buffer[] = [];
  readonly #written: Uint8Array;
  readonly #lastPages: SplitStream['lastPages'] = [];
  #block = '';
  #ramSection = -1;
  #last = false;
  #run: Buffer[] = [];
  #runOffset = 0;

  constructor(source: AsyncIterable<Buffer>, target: SplitTarget) {
    this.#reader = new Reader(source);
    this.#target = target;
    this.#written = new Uint8Array(target.ramBytes / pageBytes);
  }

  async run(): Promise<SplitStream> {
    const head = await this.#keep(8);
    if (head.readUInt32BE(0) !== magic || head.readUInt32BE(4) !== version)
      throw new Error('not a migration stream of version 3');
    for (;;) {
      const type = (await this.#reader.bytes(1)).readUInt8(0);
      if (type === section.start) await this.#readStart();
      else if (type === section.part) await this.#readPart();
      else if (type === section.configuration) await this.#keepConfiguration();
      else if (type === section.command) await this.#keepCommand();
      else if (type === section.end) {
        await this.#readEnd();
        this.#state.push(await this.#reader.rest());
        return { state: Buffer.concat(this.#state), lastPages: this.#lastPages };
      } else throw new Error(`section type ${type} before the end of RAM`);
    }
  }

  async #keep(length: number): Promise<Buffer> {
    const bytes = Buffer.from(await this.#reader.bytes(length));
    this.#state.push(bytes);
    return bytes;
  }

  async #keepConfiguration(): Promise<void> {
    this.#state.push(Buffer.of(section.configuration));
    await this.#keep((await this.#keep(4)).readUInt32BE(0));
  }

  /** QEMU 10 announces the switch-over so: command, length, payload. */
  async #keepCommand(): Promise<void> {
    this.#state.push(Buffer.of(section.command));
    await this.#keep((await this.#keep(4)).readUInt16BE(2));
  }

  /** id, name, instance and version; the sizes of all blocks; footer. Kept whole. */
  async #readStart(): Promise<void> {
    this.#state.push(Buffer.of(section.start));
    this.#ramSection = (await this.#keep(4)).readUInt32BE(0);
    const name = (await this.#keep((await this.#keep(1)).readUInt8(0))).toString();
    if (name !== 'ram') throw new Error(`live section ${name}`);
    await this.#keep(8);
    for (;;) {
      const word = (await this.#keep(8)).readBigUInt64BE(0);
      const flags = Number(word & 0xfffn);
      if (flags & flag.eos) break;
      if (!(flags & flag.memSize)) throw new Error(`RAM set-up with flags ${flags}`);
      for (let left = Number(word & ~0xfffn); left > 0;) {
        await this.#keep((await this.#keep(1)).readUInt8(0));
        left -= Number((await this.#keep(8)).readBigUInt64BE(0));
      }
    }
    await this.#keep(5);
  }

  async #readPart(): Promise<void> {
    await this.#readId();
    await this.#readPages();
    await this.#reader.bytes(5);
  }

  /** The last round. What goes into the state instead: the pages of other blocks. */
  async #readEnd(): Promise<void> {
    await this.#readId();
    this.#last = true;
    await this.#readPages();
    const footer = await this.#reader.bytes(5);
    const id = Buffer.alloc(5);
    id[0] = section.end;
    id.writeUInt32BE(this.#ramSection, 1);
    this.#state.push(id, ...this.#others, wordOf(flag.eos), Buffer.from(footer));
  }

  async #readId(): Promise<void> {
    if ((await this.#reader.bytes(4)).readUInt32BE(0) !== this.#ramSection)
      throw new Error('part of an unknown section');
  }

  async #readPages(): Promise<void> {
    for (;;) {
      if (!this.#reader.has(8)) await this.#reader.need(8);
      const head = this.#reader.take(8);
      // Offsets have at most 53 bits, flags are the lowest 12.
      const flags = head.readUInt16BE(6) & 0xfff;
      const offset = head.readUInt32BE(0) * 2 ** 32 + head.readUInt32BE(4) - flags;
      if (flags & flag.eos) return this.#flush();
      if (!(flags & flag.continue))
        this.#block = (await this.#reader.bytes((await this.#reader.bytes(1)).readUInt8(0))).toString();
      const isZero = (flags & flag.zero) !== 0;
      if (!isZero && !(flags & flag.page)) throw new Error(`RAM record with flags ${flags}`);
      const length = isZero ? 1 : pageBytes;
      if (!this.#reader.has(length)) await this.#reader.need(length);
      const data = this.#reader.take(length);
      if (this.#block === this.#target.ramBlock) this.#page(offset, isZero ? undefined : data);
      else this.#others.push(otherRecord(this.#block, offset, isZero, data));
    }
  }

  /** A page of guest RAM; the file is all holes, so a zero page matters only where another was written before. */
  #page(offset: number, data: Buffer | undefined): void {
    const index = offset / pageBytes;
    if (data === undefined && this.#written[index] === 0) return;
    this.#written[index] = 1;
    if (this.#last) {
      this.#lastPages.push({ offset, data: data ?? zeroPage });
      return;
    }
    if (this.#run.length === longestRun || offset !== this.#runOffset + this.#run.length * pageBytes) this.#flush();
    if (this.#run.length === 0) this.#runOffset = offset;
    this.#run.push(data ?? zeroPage);
  }

  #flush(): void {
    if (this.#run.length === 0) return;
    fs.writevSync(this.#target.ramFd, this.#run, this.#runOffset);
    this.#run = [];
  }
}

function wordOf(value: number): Buffer {
  const word = Buffer.alloc(8);
  word.writeBigUInt64BE(BigInt(value));
  return word;
}

function otherRecord(block: string, offset: number, isZero: boolean, data: Buffer): Buffer {
  return Buffer.concat([
    wordOf(offset + (isZero ? flag.zero : flag.page)),
    Buffer.of(Buffer.byteLength(block)),
    Buffer.from(block),
    data,
  ]);
}
