import { readdir, stat, truncate, unlink } from 'node:fs/promises';
import path from 'node:path';
import { syncPath } from '../sync-path.ts';
import { type JournalEvent, JournalReader, type ReadOptions, type ReaderPlace } from './reader.ts';
import { Recent } from './recent.ts';
import type { OutputStream } from './record.ts';
import { Segment, scanSegment, segmentName, segmentStart } from './segment.ts';
import { NoWriter, Writer } from './writer.ts';

/** Bounds of a journal. */
export interface JournalLimits {
  /** Longest segment file, bytes. */
  segmentBytes: number;
  /** Segments kept. A reader that lags further holds the writer back. */
  segments: number;
  /** Most output bytes of one write. */
  batchBytes: number;
  /** Output in memory that is not written yet, beyond which no more is wanted. */
  unwrittenBytes: number;
  /** Written output kept in memory for readers that are behind it. */
  recentBytes: number;
}

/** 64 MiB in files of 16 MiB; at most some 3 MiB in memory. */
export const journalLimits: JournalLimits = {
  segmentBytes: 16 * 1024 * 1024,
  segments: 4,
  batchBytes: 1024 * 1024,
  unwrittenBytes: 2 * 1024 * 1024,
  recentBytes: 1024 * 1024,
};

/**
 * A process's output: append-only, bounded, in segment files, its newest part also in memory. One writer, any number of readers.
 * Readers follow at their own pace and see every byte from the offset they ask for, unless it was dropped before they came.
 */
export class Journal {
  /** Called when output below `offset` reached the file system: a daemon crash does not lose it. */
  onWritten: ((offset: number) => void) | undefined;
  /** Called when a write failed; it is tried again until it succeeds. */
  onFailed: ((error: Error) => void) | undefined;
  readonly #limits: JournalLimits;
  readonly #recent = new Recent();
  readonly #writer: Writer | NoWriter;
  readonly #readers = new Set<ReaderPlace>();
  readonly #segments: Segment[];
  #dir: string;
  #start: number;
  #end: number;
  #state: 'open' | 'finished' | 'closed' = 'open';
  #roomWaiters: (() => void)[] = [];

  private constructor(dir: string | undefined, segments: Segment[], limits: JournalLimits, ready = Promise.resolve()) {
    this.#dir = dir ?? '';
    this.#segments = segments;
    this.#limits = limits;
    this.#start = segments[0]?.start ?? 0;
    this.#end = segments.at(-1)?.end ?? 0;
    if (dir === undefined) {
      this.#writer = new NoWriter((offset) => this.onWritten?.(offset));
      return;
    }
    this.#writer = new Writer(
      {
        directory: () => this.#dir,
        ready,
        segmentBytes: limits.segmentBytes,
        batchBytes: limits.batchBytes,
        current: () => this.#segments.at(-1),
        began: (segment) => this.#began(segment),
        wrote: (offset) => this.#wrote(offset),
        failed: (error) => this.onFailed?.(error),
      },
      this.#recent,
      this.#end,
    );
  }

  /** An empty journal; its files appear in `dir` with the first output, once `ready` resolves: there is a directory then. */
  static create(dir: string, options: { limits?: JournalLimits; ready?: Promise<void> } = {}): Journal {
    return new Journal(dir, [], options.limits ?? journalLimits, options.ready);
  }

  /** An empty journal without files, for one reader: output is forgotten when it has been read, and more than `unwrittenBytes` of unread output is not wanted. */
  static inMemory(limits: JournalLimits = journalLimits): Journal {
    return new Journal(undefined, [], limits);
  }

  /** Takes up the journal in `dir` where it ends; a torn tail is cut off. */
  static async recover(dir: string, limits: JournalLimits = journalLimits): Promise<Journal> {
    const starts = (await readdir(dir))
      .map(segmentStart)
      .filter((start) => start !== undefined)
      .toSorted((a, b) => a - b);
    const segments: Segment[] = [];
    for (const [index, start] of starts.entries()) {
      const file = path.join(dir, segmentName(start));
      const next = starts[index + 1];
      // Segments are written one after the other: only the newest can be torn.
      if (next === undefined) {
        const segment = await scanSegment(file, start);
        await truncate(file, segment.fileBytes);
        segments.push(segment);
      } else {
        segments.push(new Segment(start, next, (await stat(file)).size));
      }
    }
    return new Journal(dir, segments, limits);
  }

  /** Directory of the files. */
  get dir(): string {
    return this.#dir;
  }

  /** Offset of the oldest byte kept. */
  get start(): number {
    return this.#start;
  }

  /** Offset behind the newest byte. */
  get end(): number {
    return this.#end;
  }

  /** Offset below which everything reached the file system. */
  get written(): number {
    return this.#writer.written;
  }

  /** Readers under way. */
  get readers(): number {
    return this.#readers.size;
  }

  /** No more should be appended now: too much is unwritten, or a reader lags by a whole journal. */
  get full(): boolean {
    if (this.#writer instanceof NoWriter) return this.#recent.bytes >= this.#limits.unwrittenBytes;
    return (
      this.#end - this.#writer.written >= this.#limits.unwrittenBytes || this.#segments.length > this.#limits.segments
    );
  }

  /** Adds output at the end. `bytes` is kept: it must not change. */
  append(stream: OutputStream, bytes: Buffer, timeMs: number): void {
    if (this.#state !== 'open') throw new Error('the journal is finished');
    if (bytes.length === 0) return;
    this.#recent.append(stream, this.#end, bytes, timeMs);
    this.#end += bytes.length;
    this.#writer.extend(this.#end);
    this.#wake();
  }

  /** Output up to `offset` is gone for good before it came here: readers are told. */
  skipTo(offset: number): void {
    if (offset > this.#end) this.#end = offset;
  }

  /** Resolves when the journal is not full, or `signal` fires. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.full && !signal.aborted && this.#state === 'open') {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#roomWaiters.push(wake);
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      signal.removeEventListener('abort', wake);
    }
  }

  /** Nothing will be appended; readers end when they have read all. Idempotent. */
  finish(): void {
    if (this.#state !== 'open') return;
    this.#state = 'finished';
    this.#wake();
  }

  get finished(): boolean {
    return this.#state === 'finished';
  }

  /** Resolves once all output so far reached the file system; rejects when a write fails meanwhile. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** Makes all output so far durable against a loss of power. */
  async sync(): Promise<void> {
    await this.flush();
    if (this.#writer instanceof NoWriter) return;
    for (const segment of [...this.#segments]) {
      const { fileBytes } = segment;
      if (segment.durableBytes === fileBytes) continue;
      await syncPath(path.join(this.#dir, segment.name));
      segment.durableBytes = fileBytes;
    }
    await syncPath(this.#dir);
  }

  /** Writes nothing more; what was appended stays readable. Its directory may be renamed or replaced from then on. */
  freeze(): Promise<void> {
    return this.#writer.close();
  }

  /** Lets go of the open file. Call when it is finished and flushed. */
  release(): Promise<void> {
    return this.#writer.release();
  }

  /** Stops writing and ends all readers, wherever they are. Idempotent. */
  async close(): Promise<void> {
    this.#state = 'closed';
    this.#wake();
    this.#makeRoom();
    await this.#writer.close();
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Output from `offset` on, then what is appended, until the journal is finished and all is read. Ends early when `signal` fires or the journal is closed. */
  read<T = never>(options: ReadOptions<T>): AsyncIterableIterator<JournalEvent | T, undefined, undefined> {
    return new JournalReader(
      {
        journal: this,
        recent: this.#recent,
        segmentAt: (offset) => this.#segmentAt(offset),
        enter: (place) => this.#readers.add(place),
        leave: (place) => this.#leave(place),
        moved: () => this.#moved(),
      },
      options,
    );
  }

  /** Its directory was renamed. */
  movedTo(dir: string): void {
    this.#dir = dir;
  }

  /** Segments in order, for copying. */
  segments(): readonly Readonly<Segment>[] {
    return this.#segments;
  }

  #segmentAt(offset: number): Segment | undefined {
    return this.#segments.findLast((segment) => segment.start <= offset);
  }

  #began(segment: Segment): void {
    this.#segments.push(segment);
    this.#dropOld();
  }

  #wrote(offset: number): void {
    this.#trim();
    this.onWritten?.(offset);
    this.#makeRoom();
  }

  /** What is in files and behind all readers goes at once: buffers that grow old cost more to collect than to read again. */
  #trim(): void {
    let needed = Infinity;
    for (const reader of this.#readers) needed = Math.min(needed, reader.offset);
    // Without files, memory is all there is for a reader that lags.
    const keepBytes = this.#writer instanceof NoWriter ? Infinity : this.#limits.recentBytes;
    this.#recent.trim(this.#writer.written, needed, keepBytes);
  }

  /** A reader has gone on. */
  #moved(): void {
    if (!(this.#writer instanceof NoWriter)) return this.#dropOld();
    this.#trim();
    this.#makeRoom();
  }

  #leave(place: ReaderPlace): void {
    this.#readers.delete(place);
    this.#trim();
    this.#dropOld();
    this.#makeRoom();
  }

  /** Drops the oldest segments beyond the limit that no reader needs. */
  #dropOld(): void {
    while (this.#segments.length > this.#limits.segments) {
      const next = this.#segments[1] as Segment;
      for (const reader of this.#readers) if (reader.offset < next.start) return;
      const oldest = this.#segments.shift() as Segment;
      this.#start = next.start;
      // A file that cannot be removed now is removed with its session; it is not read again.
      void unlink(path.join(this.#dir, oldest.name)).catch(() => {});
      this.#makeRoom();
    }
  }

  #makeRoom(): void {
    if (this.#roomWaiters.length === 0 || (this.full && this.#state === 'open')) return;
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  #wake(): void {
    for (const reader of this.#readers) reader.wake();
  }
}
