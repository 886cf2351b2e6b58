import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import type { Recent } from './recent.ts';
import { type OutputStream, decodeHeader, recordHeaderBytes } from './record.ts';
import { type Segment, blockBytes, readFully } from './segment.ts';

/** What a reader of a journal sees. */
export type JournalEvent = { type: 'output'; stream: OutputStream; offset: number; bytes: Buffer } | { type: 'dropped'; from: number; to: number };

/** Place of a reader: what lies behind it may be dropped. */
export interface ReaderPlace {
  offset: number;
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
  /** Resolves at the next change, or when `signal` fires. */
  changed(signal: AbortSignal): Promise<void>;
}

/** One reader: from files where it is behind what memory holds, from memory where it follows. */
export async function* readJournal(host: ReaderHost, options: { offset: number; signal: AbortSignal }): AsyncGenerator<JournalEvent, void, undefined> {
  const { journal, recent } = host;
  const { signal } = options;
  const place: ReaderPlace = { offset: options.offset };
  const files = new SegmentFile(host);
  host.enter(place);
  try {
    while (!signal.aborted && !journal.closed) {
      if (place.offset >= journal.end) {
        if (journal.finished) return;
        await host.changed(signal);
        continue;
      }
      const chunk = recent.start !== undefined && recent.start <= place.offset ? recent.at(place.offset) : undefined;
      if (chunk !== undefined) {
        if (chunk.offset > place.offset) yield skip(place, chunk.offset);
        const { stream, offset } = chunk;
        const bytes = place.offset === offset ? chunk.bytes : chunk.bytes.subarray(place.offset - offset);
        const event: JournalEvent = { type: 'output', stream, offset: place.offset, bytes };
        place.offset += bytes.length;
        yield event;
        host.moved();
        continue;
      }
      for (const event of await files.read(place.offset)) {
        if (event.type === 'output' && event.offset > place.offset) yield skip(place, event.offset);
        place.offset = event.type === 'output' ? event.offset + event.bytes.length : event.to;
        yield event;
        host.moved();
        if (signal.aborted || journal.closed) return;
      }
    }
  } finally {
    host.leave(place);
    await files.close();
  }
}

function skip(place: ReaderPlace, to: number): JournalEvent {
  const from = place.offset;
  place.offset = to;
  return { type: 'dropped', from, to };
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
    if (segment === undefined || offset >= segment.end) return [{ type: 'dropped', from: offset, to: this.#nextKnown(offset) }];
    const handle = await this.#handle(segment);
    for (let at = this.#next.offset === offset ? this.#next.at : segment.seek(offset); at < segment.fileBytes; ) {
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

  /** The journal's directory may be renamed between the look at its name and the opening. */
  async #openAnywhere(segment: Segment): Promise<FileHandle> {
    const dir = this.#host.journal.dir;
    try {
      return await open(path.join(dir, segment.name), 'r');
    } catch (error) {
      if (this.#host.journal.dir === dir) throw error;
      return open(path.join(this.#host.journal.dir, segment.name), 'r');
    }
  }

  /** The next offset behind a gap: of the first segment behind it, of memory, or the journal's end. */
  #nextKnown(offset: number): number {
    const { journal, recent } = this.#host;
    const segment = journal.segments().find((one) => one.start > offset && one.end > one.start);
    return Math.min(segment?.start ?? journal.end, recent.start !== undefined && recent.start > offset ? recent.start : journal.end);
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
    if (before < header.length) events.push({ type: 'output', stream: header.stream, offset: header.offset + before, bytes: block.subarray(payload + before, at) });
  }
}
