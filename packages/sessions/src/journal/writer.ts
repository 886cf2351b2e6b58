import fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chunk, Recent } from './recent.ts';
import { encodeHeader, maxRecordBytes, recordHeaderBytes } from './record.ts';
import { Segment } from './segment.ts';

/** Pauses before a failed write is tried again, ms. A full disk blocks the process, it loses nothing. */
const retryMs = [100, 200, 500, 1000, 2000] as const;

/**
 * Less output than this waits for more, for {@link lingerMs}: a write costs a thread's wake-up, whatever its size. It must stay well below what the guest keeps
 * unacknowledged, or the process would wait for the timer.
 */
const lingerBytes = 128 * 1024;
const lingerMs = 2;

/** What the writer needs of its journal. */
export interface WriterHost {
  /** Directory of the segments; may be renamed meanwhile. */
  directory(): string;
  /** Resolves once there is a directory. */
  readonly ready: Promise<void>;
  /** Longest segment file. */
  readonly segmentBytes: number;
  /** Most output bytes of one write; with its headers it fits in a segment. */
  readonly batchBytes: number;
  /** The segment that is written now. */
  current(): Segment | undefined;
  /** A new segment has begun. */
  began(segment: Segment): void;
  /** Everything below `offset` reached the file system. */
  wrote(offset: number): void;
  /** A write failed; called once until one succeeds again. */
  failed(error: Error): void;
}

/** Moves output from memory to segment files, in order, one write at a time: what arrives meanwhile goes with the next. */
export class Writer {
  readonly #host: WriterHost;
  readonly #recent: Recent;
  #file: { segment: Segment; handle: FileHandle } | undefined;
  #written: number;
  #end: number;
  #running: Promise<void> | undefined;
  #linger: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #closed = false;
  readonly #abort = new AbortController();
  #waiting: { offset: number; resolve(): void; reject(error: Error): void }[] = [];

  constructor(host: WriterHost, recent: Recent, end: number) {
    this.#host = host;
    this.#recent = recent;
    this.#written = end;
    this.#end = end;
  }

  /** Output below this offset reached the file system. */
  get written(): number {
    return this.#written;
  }

  /** Memory holds output up to `end`. */
  extend(end: number): void {
    this.#end = end;
    if (this.#running !== undefined || this.#closed) return;
    if (end - this.#written >= lingerBytes) this.#start();
    else this.#linger ??= setTimeout(() => this.#start(), lingerMs);
  }

  /** Resolves once all output so far is written; rejects when a write fails meanwhile (it is tried again all the same). */
  flush(): Promise<void> {
    if (this.#written >= this.#end) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(new Error('the journal was closed'));
    this.#start();
    return new Promise((resolve, reject) => this.#waiting.push({ offset: this.#end, resolve, reject }));
  }

  /** Lets go of the open file until there is more to write. Call when all is written. */
  async release(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  /** Stops: what is not written stays unwritten. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#linger);
    this.#abort.abort();
    await this.#running;
    await this.release();
  }

  #start(): void {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    for (let failures = 0; this.#written < this.#end && !this.#closed;) {
      try {
        await this.#writeBatch();
        failures = 0;
        this.#failure = undefined;
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        if (this.#failure === undefined) this.#host.failed(error);
        this.#failure = error;
        for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
        // Nothing is lost: the output stays in memory and the pump is held back until a later attempt succeeds.
        await sleep(retryMs[Math.min(failures, retryMs.length - 1)], undefined, { signal: this.#abort.signal }).catch(
          () => {},
        );
        failures += 1;
      }
    }
    this.#running = undefined;
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.offset <= this.#written) waiting.resolve();
      else waiting.reject(new Error('the journal was closed'));
    }
  }

  async #writeBatch(): Promise<void> {
    await this.#host.ready;
    const records = toRecords(this.#recent.from(this.#written, this.#host.batchBytes), this.#written);
    const file = await this.#openFile(records);
    const at = file.segment.fileBytes;
    await writeFully(file.handle.fd, records.buffers, at);
    for (const place of records.places) file.segment.note(place.offset, at + place.at);
    file.segment.fileBytes += records.bytes;
    file.segment.end = records.end;
    this.#written = records.end;
    if (this.#waiting.length > 0) {
      for (const waiting of this.#waiting.filter((one) => one.offset <= this.#written)) waiting.resolve();
      this.#waiting = this.#waiting.filter((one) => one.offset > this.#written);
    }
    this.#host.wrote(this.#written);
  }

  async #openFile(records: Records): Promise<{ segment: Segment; handle: FileHandle }> {
    const current = this.#host.current();
    if (
      current === undefined ||
      (current.fileBytes > 0 && current.fileBytes + records.bytes > this.#host.segmentBytes)
    ) {
      const segment = new Segment(records.start);
      const handle = await open(path.join(this.#host.directory(), segment.name), 'w');
      await this.#file?.handle.close();
      this.#file = { segment, handle };
      this.#host.began(segment);
    } else if (this.#file === undefined || this.#file.segment !== current) {
      this.#file = { segment: current, handle: await open(path.join(this.#host.directory(), current.name), 'r+') };
    }
    return this.#file;
  }
}

/** Stands where output is not to be written: memory is all there is. */
export class NoWriter {
  readonly #kept: (offset: number) => void;
  #end = 0;

  /** `kept`: everything below `offset` is in memory. */
  constructor(kept: (offset: number) => void) {
    this.#kept = kept;
  }

  get written(): number {
    return this.#end;
  }

  extend(end: number): void {
    this.#end = end;
    this.#kept(end);
  }

  async flush(): Promise<void> {}

  async release(): Promise<void> {}

  async close(): Promise<void> {}
}

interface Records {
  buffers: Buffer[];
  /** Bytes of all buffers. */
  bytes: number;
  /** Where each record begins. */
  places: { offset: number; at: number }[];
  start: number;
  end: number;
}

/** Chunks as records: neighbours of one stream share a record. Output before `from` is written already. */
function toRecords(chunks: Chunk[], from: number): Records {
  const buffers: Buffer[] = [];
  const places: { offset: number; at: number }[] = [];
  let at = 0;
  let end = from;
  let record: { chunk: Chunk; offset: number; length: number; slot: number } | undefined;
  const close = () => {
    if (record === undefined) return;
    buffers[record.slot] = encodeHeader({
      stream: record.chunk.stream,
      length: record.length,
      timeMs: record.chunk.timeMs,
      offset: record.offset,
    });
    places.push({ offset: record.offset, at });
    at += recordHeaderBytes + record.length;
    record = undefined;
  };
  for (const chunk of chunks) {
    let rest = chunk.bytes.subarray(Math.max(0, from - chunk.offset));
    let offset = chunk.offset + chunk.bytes.length - rest.length;
    while (rest.length > 0) {
      if (
        record !== undefined &&
        (record.chunk.stream !== chunk.stream || record.length === maxRecordBytes || offset !== end)
      )
        close();
      if (record === undefined) record = { chunk, offset, length: 0, slot: buffers.push(chunk.bytes) - 1 };
      const piece = rest.subarray(0, maxRecordBytes - record.length);
      buffers.push(piece);
      record.length += piece.length;
      offset += piece.length;
      end = offset;
      rest = rest.subarray(piece.length);
    }
  }
  close();
  return { buffers, bytes: at, places, start: places[0]?.offset ?? from, end };
}

function writeFully(fd: number, buffers: Buffer[], position: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  const step = (rest: Buffer[], done: number) => {
    fs.writev(fd, rest, position + done, (error, written) => {
      if (error !== null) reject(error);
      else if (done + written === total) resolve();
      else if (written === 0) reject(new Error('nothing could be written'));
      else step(dropBytes(rest, written), done + written);
    });
  };
  step(buffers, 0);
  return promise;
}

function dropBytes(buffers: Buffer[], count: number): Buffer[] {
  const rest = [...buffers];
  for (let left = count; left > 0;) {
    const first = rest[0] as Buffer;
    if (first.length > left) {
      rest[0] = first.subarray(left);
      break;
    }
    left -= first.length;
    rest.shift();
  }
  return rest;
}
