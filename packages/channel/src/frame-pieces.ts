import { type Frame, decodeOffsetPayload, frameType, maxFramePayloadBytes } from '@sylph/model';

const headerBytes = 5;
const outputHeaderBytes = headerBytes + 8;

/** What a guest's half of a process stream holds. */
export interface FrameSink {
  /** Output, a frame or a piece of one, as it lies in the chunk it came in. */
  output(stream: 'stdout' | 'stderr', offset: number, bytes: Buffer): void;
  /** Any other frame, whole. */
  frame(frame: Frame): void;
}

/**
 * Incremental decoder of what the guest sends. Output is passed on as it arrives, uncopied: at hundreds of MB/s the copies and their garbage would cost more than
 * all else. Other frames are collected first. Throws on a frame longer than allowed before keeping any of it: the stream is then useless.
 */
export class FramePieces {
  readonly #sink: FrameSink;
  /** Of the output frame under way. */
  #stream: 'stdout' | 'stderr' = 'stdout';
  #offset = 0;
  #left = 0;
  /** Beginning of a frame that cannot be passed on yet. */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  #wanted = headerBytes;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) at = this.#passOutput(chunk, at);
      else if (this.#partsBytes > 0) at = this.#collect(chunk, at);
      else at = this.#begin(chunk, at);
    }
  }

  #passOutput(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    const offset = this.#offset;
    this.#left -= end - at;
    this.#offset += end - at;
    this.#sink.output(this.#stream, offset, chunk.subarray(at, end));
    return end;
  }

  /** A frame begins at `at`; what is not all there is kept. */
  #begin(chunk: Buffer, at: number): number {
    this.#wanted = headerBytes;
    const have = chunk.length - at;
    if (have >= headerBytes) {
      const needed = neededBytes(chunk, at);
      if (have >= needed) return this.#take(chunk, at, needed);
      this.#wanted = needed;
    }
    this.#parts = [chunk.subarray(at)];
    this.#partsBytes = have;
    return chunk.length;
  }

  #collect(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#wanted - this.#partsBytes);
    this.#parts.push(chunk.subarray(at, end));
    this.#partsBytes += end - at;
    if (this.#partsBytes < this.#wanted) return end;
    const joined = Buffer.concat(this.#parts, this.#partsBytes);
    this.#parts = [joined];
    const needed = neededBytes(joined, 0);
    if (this.#partsBytes < needed) {
      this.#wanted = needed;
      return end;
    }
    this.#parts = [];
    this.#partsBytes = 0;
    this.#take(joined, 0, needed);
    return end;
  }

  /** Takes a frame, or an output frame's beginning, that lies whole at `at`; returns where it ends. */
  #take(buffer: Buffer, at: number, bytes: number): number {
    const type = buffer[at] as number;
    const payload = buffer.subarray(at + headerBytes, at + bytes);
    if (isOutput(type)) {
      this.#stream = type === frameType.stdout ? 'stdout' : 'stderr';
      this.#offset = decodeOffsetPayload(payload).offset;
      this.#left = buffer.readUInt32BE(at + 1) - 8;
    } else this.#sink.frame({ type, payload });
    return at + bytes;
  }
}

function isOutput(type: number): boolean {
  return type === frameType.stdout || type === frameType.stderr;
}

/** Bytes from a frame's first that are needed together: of output only the header and offset. `buffer` holds the header. */
function neededBytes(buffer: Buffer, at: number): number {
  const length = buffer.readUInt32BE(at + 1);
  if (length > maxFramePayloadBytes) throw new Error(`a frame of ${length} bytes, more than ${maxFramePayloadBytes}`);
  if (!isOutput(buffer[at] as number)) return headerBytes + length;
  if (length < 8) throw new Error('an offset frame of fewer than 8 bytes');
  return outputHeaderBytes;
}
