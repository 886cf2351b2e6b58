import { maxFramePayloadBytes } from './process.ts';

/** A frame of a process stream. `payload` may be a view into the chunk it arrived in. */
export interface Frame {
  type: number;
  payload: Buffer;
}

const headerBytes = 5;

/** Encodes a frame's header; the payload follows as it is, uncopied. */
export function frameHeader(type: number, payloadBytes: number): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header[0] = type;
  header.writeUInt32BE(payloadBytes, 1);
  return header;
}

/** Encodes a small frame in one buffer. */
export function encodeFrame(type: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  return Buffer.concat([frameHeader(type, payload.length), payload]);
}

/** Encodes a frame whose payload is an offset and bytes. */
export function encodeOffsetFrame(type: number, offset: number, bytes: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + 8 + bytes.length);
  frame[0] = type;
  frame.writeUInt32BE(8 + bytes.length, 1);
  frame.writeBigUInt64BE(BigInt(offset), headerBytes);
  frame.set(bytes, headerBytes + 8);
  return frame;
}

/** Splits an offset frame's payload. Throws on a short one or an offset beyond 2^53. */
export function decodeOffsetPayload(payload: Buffer): { offset: number; bytes: Buffer } {
  if (payload.length < 8) throw new Error('an offset frame of fewer than 8 bytes');
  const high = payload.readUInt32BE(0);
  if (high > 0x1fffff) throw new Error('an offset beyond 2^53');
  return { offset: high * 2 ** 32 + payload.readUInt32BE(4), bytes: payload.subarray(8) };
}

/**
 * Incremental decoder. Feed it chunks of any size; it yields whole frames in order and keeps at most one unfinished frame.
 * Throws on a frame longer than allowed, before buffering it: the stream is then useless.
 */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** Bytes the unfinished frame has to reach before more is known of it: its header, then its whole. */
  #wanted = headerBytes;

  /** Frames completed by this chunk. */
  *push(chunk: Buffer): Generator<Frame> {
    let rest = chunk;
    while (this.#partsBytes > 0) {
      // Join only as much as finishes the frame begun earlier: the chunk itself stays uncopied.
      const missing = this.#wanted - this.#partsBytes;
      this.#keep(rest.subarray(0, missing));
      if (rest.length < missing) return;
      rest = rest.subarray(missing);
      const joined = Buffer.concat(this.#parts, this.#partsBytes);
      if (this.#wanted === headerBytes) this.#wanted = headerBytes + checkedLength(joined, 0);
      this.#parts = [joined];
      if (this.#partsBytes < this.#wanted) continue;
      this.#parts = [];
      this.#partsBytes = 0;
      this.#wanted = headerBytes;
      yield { type: joined[0] as number, payload: joined.subarray(headerBytes) };
    }
    let at = 0;
    while (rest.length - at >= headerBytes) {
      const end = at + headerBytes + checkedLength(rest, at);
      if (rest.length < end) {
        this.#wanted = end - at;
        break;
      }
      yield { type: rest[at] as number, payload: rest.subarray(at + headerBytes, end) };
      at = end;
    }
    this.#keep(rest.subarray(at));
  }

  /** Bytes of an unfinished frame: nonzero at the end of a stream means it was cut. */
  get pendingBytes(): number {
    return this.#partsBytes;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#partsBytes += part.length;
  }
}

function checkedLength(buffer: Buffer, at: number): number {
  const length = buffer.readUInt32BE(at + 1);
  if (length > maxFramePayloadBytes) throw new Error(`a frame of ${length} bytes, more than ${maxFramePayloadBytes}`);
  return length;
}
