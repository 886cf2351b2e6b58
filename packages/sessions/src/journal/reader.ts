import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Recent } from './recent.ts';
import { type OutputStream, decodeHeader, recordHeaderBytes } from './record.ts';
import { type Segment, blockBytes, readFully } from './segment.ts';

/** Pauses before another attempt to open a segment whose directory may have been renamed, ms. */
const renameMs = [1, 10, 50] as const;

/** What a reader of a journal sees. */
export type JournalEvent =
  | { type: 'output'; stream: OutputStream; offset: number; bytes: Buffer }
  | { type: 'dropped'; from: number; to: number };

/** A reader as its journal knows it. */
export interface ReaderPlace {
  /** What lies behind it may be dropped. */
  offset: number;
  /** Something has changed. */
  readonly wake: () => void;
}

/** What a reader needs of its journal. */
export interface ReaderHost {
  readonly journal: {
    readonly dir: string;
    readonly end: number;
    readonly finished: boolean;
    readonly closed: boolean;
    segments(): readonly Readonly<Segment>[];
  };
  readonly recent: Recent;
  segmentAt(offset: number): Segment | undefined;
  enter(place: ReaderPlace): void;
  leave(place: ReaderPlace): void;
  /** A reader has gone on. */
  moved(): void;
}

/** How to read. */
export interface ReadOptions<T> {
  offset: number;
  /** Ends the reading early, without an error. */
  signal: AbortSignal;
  /** Awaited before the first byte. */
  before?: () => Promise<void>;
  /** Comes behind the last byte of a finished journal. */
  last?: () => T | undefined;
  /** The reader has let go. */
  after?: () => void;
}

/**
 * One reader: from files where it is behind what memory holds, from memory where it follows. Written as an iterator rather than as generators in one another,
 * which would cost more per event than all else on the way.
 */
export class JournalReader<T> implements AsyncIterableIterator<JournalEvent | T, undefined, undefined> {
  readonly #host: ReaderHost;
  readonly #options: ReadOptions<T>;
  readonly #place: ReaderPlace;
  readonly #file: SegmentFile;
  #state: 'new' | 'reading' | 'done' = 'new';
  /** Read from a file and not yet handed out, last first. */
  #ready: JournalEvent[] = [];
  #waiting: (() => void) | undefined;

  constructor(host: ReaderHost, options: ReadOptions<T>) {
    this.#host = host;
    this.#options = options;
    this.#place = { offset: options.offset, wake: () => this.#wake() };
    this.#file = new SegmentFile(host);
  }

  next(): Promise<IteratorResult<JournalEvent | T, undefined>> {
    if (this.#state === 'reading') {
      this.#host.moved();
      const event = this.#take();
      if (event !== undefined) return Promise.resolve({ done: false, value: event });
    }
    return this.#state === 'done' ? Promise.resolve({ done: true, value: undefined }) : this.#wait();
  }

  async return(): Promise<IteratorResult<JournalEvent | T, undefined>> {
    await this.#finish();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#finish();
  }

  async #wait(): Promise<IteratorResult<JournalEvent | T, undefined>> {
    try {
      if (this.#state === 'new') await this.#begin();
      for (;;) {
        const event = this.#take();
        if (event !== undefined) return { done: false, value: event };
        const { journal } = this.#host;
        if (this.#stopped()) break;
        if (this.#place.offset < journal.end) this.#ready = (await this.#file.read(this.#place.offset)).toReversed();
        else if (!journal.finished) await new Promise<void>((resolve) => (this.#waiting = resolve));
        else {
          const last = this.#options.last?.();
          await this.#finish();
          return last === undefined ? { done: true, value: undefined } : { done: false, value: last };
        }
      }
    } catch (error) {
      await this.#finish();
      throw error;
    }
    await this.#finish();
    return { done: true, value: undefined };
  }

  async #begin(): Promise<void> {
    this.#state = 'reading';
    this.#host.enter(this.#place);
    this.#options.signal.addEventListener('abort', this.#place.wake);
    await this.#options.before?.();
  }

  #wake(): void {
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve?.();
  }

  /** The next event that needs no waiting. */
  #take(): JournalEvent | undefined {
    if (this.#stopped()) return undefined;
    const ready = this.#ready.at(-1);
    if (ready !== undefined) {
      if (ready.type === 'output' && ready.offset > this.#place.offset) return this.#skip(ready.offset);
      this.#ready.pop();
      this.#place.offset = ready.type === 'output' ? ready.offset + ready.bytes.length : ready.to;
      return ready;
    }
    const { recent } = this.#host;
    const { offset } = this.#place;
    if (recent.start === undefined || recent.start > offset) return undefined;
    const chunk = recent.at(offset);
    if (chunk === undefined) return undefined;
    if (chunk.offset > offset) return this.#skip(chunk.offset);
    const bytes = offset === chunk.offset ? chunk.bytes : chunk.bytes.subarray(offset - chunk.offset);
    this.#place.offset += bytes.length;
    return { type: 'output', stream: chunk.stream, offset, bytes };
  }

  #skip(to: number): JournalEvent {
    const from = this.#place.offset;
    this.#place.offset = to;
    return { type: 'dropped', from, to };
  }

  #stopped(): boolean {
    return this.#options.signal.aborted || this.#host.journal.closed;
  }

  async #finish(): Promise<void> {
    const was = this.#state;
    this.#state = 'done';
    this.#ready = [];
    if (was !== 'reading') return;
    this.#options.signal.removeEventListener('abort', this.#place.wake);
    this.#host.leave(this.#place);
    this.#options.after?.();
    await this.#file.close();
  }
}

/** The segment file a reader is in. */
class SegmentFile {
  readonly #host: ReaderHost;
  #open: { segment: Segment; handle: FileHandle } | undefined;
  /** Where the next block of the open segment begins, and the offset that was read up to there. */
  #next = { at: 0, offset: -1 };

  constructor(host: ReaderHost) {
    this.#host = host;
  }

  /** Whole records from `offset` on, as far as one block of the file holds them; at least one event. `offset` lies below the journal's end and is not in memory. */
  async read(offset: number): Promise<JournalEvent[]> {
    const segment = this.#host.segmentAt(offset);
    if (segment === undefined || offset >= segment.end)
      return [{ type: 'dropped', from: offset, to: this.#nextKnown(offset) }];
    const handle = await this.#handle(segment);
    for (let at = this.#next.offset === offset ? this.#next.at : segment.seek(offset); at < segment.fileBytes;) {
      const block = Buffer.allocUnsafeSlow(Math.min(blockBytes, segment.fileBytes - at));
      const { events, bytes } = recordsOf(block.subarray(0, await readFully(handle, block, at)), offset);
      if (bytes === 0) break;
      at += bytes;
      const last = events.at(-1);
      if (last === undefined || last.type !== 'output') continue;
      this.#next = { at, offset: last.offset + last.bytes.length };
      return events;
    }
    // The file is damaged from here on.
    return [{ type: 'dropped', from: offset, to: segment.end }];
  }

  async close(): Promise<void> {
    const opened = this.#open;
    this.#open = undefined;
    this.#next = { at: 0, offset: -1 };
    await opened?.handle.close();
  }

  async #handle(segment: Segment): Promise<FileHandle> {
    if (this.#open?.segment !== segment) {
      await this.close();
      this.#open = { segment, handle: await this.#openAnywhere(segment) };
    }
    return this.#open.handle;
  }

  /** The journal's directory may be renamed at any moment, and its new name be told a moment later. */
  async #openAnywhere(segment: Segment): Promise<FileHandle> {
    for (const pauseMs of renameMs) {
      try {
        return await open(path.join(this.#host.journal.dir, segment.name), 'r');
      } catch {
        // Tried again; the last attempt's error is thrown.
        await sleep(pauseMs);
      }
    }
    return open(path.join(this.#host.journal.dir, segment.name), 'r');
  }

  /** The next offset behind a gap: of the first segment behind it, of memory, or the journal's end. */
  #nextKnown(offset: number): number {
    const { journal, recent } = this.#host;
    const segment = journal.segments().find((one) => one.start > offset && one.end > one.start);
    return Math.min(
      segment?.start ?? journal.end,
      recent.start !== undefined && recent.start > offset ? recent.start : journal.end,
    );
  }
}

/** Whole records at the beginning of a block and how many bytes they take; output before `from` is left out. */
function recordsOf(block: Buffer, from: number): { events: JournalEvent[]; bytes: number } {
  const events: JournalEvent[] = [];
  let at = 0;
  for (;;) {
    const header = decodeHeader(block, at);
    if (header === undefined || at + recordHeaderBytes + header.length > block.length) return { events, bytes: at };
    const payload = at + recordHeaderBytes;
    at = payload + header.length;
    const before = Math.max(0, from - header.offset);
    if (before < header.length)
      events.push({
        type: 'output',
        stream: header.stream,
        offset: header.offset + before,
        bytes: block.subarray(payload + before, at),
      });
  }
}
