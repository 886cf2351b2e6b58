import { type FileHandle, open } from 'node:fs/promises';
import { decodeHeader, recordHeaderBytes } from './record.ts';

/** Bytes read from a segment at once; holds several records. */
export const blockBytes = 512 * 1024;

/** Distance of the entries of a segment's index, bytes of file. */
const indexEveryBytes = 256 * 1024;

/** One file of a journal: records one behind the other. Its name is the offset of its first byte. */
export class Segment {
  /** Output offset of its first byte. */
  readonly start: number;
  /** Output offset behind its last written byte. */
  end: number;
  /** Bytes of the file that a loss of power leaves. */
  durableBytes = 0;
  /** Bytes of whole records in the file. */
  fileBytes: number;
  /** Places of some records, ascending: where to begin the search for an offset. */
  readonly #index: { offset: number; at: number }[] = [];

  constructor(start: number, end = start, fileBytes = 0) {
    this.start = start;
    this.end = end;
    this.fileBytes = fileBytes;
  }

  get name(): string {
    return segmentName(this.start);
  }

  /** Tells of a record written at `at`. */
  note(offset: number, at: number): void {
    const last = this.#index.at(-1);
    if (last === undefined || at - last.at >= indexEveryBytes) this.#index.push({ offset, at });
  }

  /** Where in the file to look for `offset`: at or before its record. */
  seek(offset: number): number {
    let low = 0;
    let high = this.#index.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#index[middle] as { offset: number }).offset <= offset) low = middle + 1;
      else high = middle;
    }
    return this.#index[low - 1]?.at ?? 0;
  }
}

/** File name of the segment that begins at `start`: sorts as it counts. */
export function segmentName(start: number): string {
  return `${String(start).padStart(15, '0')}.log`;
}

/** Offset a segment's name stands for; undefined when the file is something else. */
export function segmentStart(name: string): number | undefined {
  return /^[0-9]{15}\.log$/.test(name) ? Number(name.slice(0, 15)) : undefined;
}

/** Reads the whole records of a segment file from its beginning and stops at the first that is torn or wrong. */
export async function scanSegment(path: string, start: number): Promise<Segment> {
  const segment = new Segment(start);
  await using file = await open(path, 'r');
  const size = (await file.stat()).size;
  const block = Buffer.allocUnsafe(Math.min(blockBytes, size));
  while (segment.fileBytes < size) {
    const read = await readFully(file, block, segment.fileBytes);
    let at = 0;
    for (;;) {
      const header = decodeHeader(block.subarray(0, read), at);
      if (header === undefined || header.offset < segment.end || at + recordHeaderBytes + header.length > read) break;
      segment.note(header.offset, segment.fileBytes + at);
      segment.end = header.offset + header.length;
      at += recordHeaderBytes + header.length;
    }
    segment.fileBytes += at;
    // A block holds several whole records; one without any is torn from here on.
    if (at === 0) break;
  }
  return segment;
}

/** Fills `buffer` from the file at `position` as far as the file goes. */
export async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
