import type { OutputStream } from './record.ts';

/** Output in memory. `bytes` of the newest chunk may grow. */
export interface Chunk {
  stream: OutputStream;
  offset: number;
  bytes: Buffer;
  timeMs: number;
}

/** Pieces smaller than this are copied together, so that neither chunks nor what they keep alive outgrow their bytes by much. */
const smallBytes = 4096;

/** Space small pieces are copied into; what is left of it is used on, also after all before was forgotten. */
const arenaBytes = 16 * 1024;

/** The newest output, shared by the writer and all readers, uncopied but for small pieces. In order of offset; may have gaps. */
export class Recent {
  #chunks: Chunk[] = [];
  #first = 0;
  #bytes = 0;
  /** Space behind the newest chunk's bytes, if that chunk may grow. */
  #arena: Buffer = Buffer.alloc(0);
  #arenaUsed = 0;
  #growing = false;

  get bytes(): number {
    return this.#bytes;
  }

  /** Offset of the oldest byte; undefined when empty. */
  get start(): number | undefined {
    return this.#chunks[this.#first]?.offset;
  }

  append(stream: OutputStream, offset: number, bytes: Buffer, timeMs: number): void {
    this.#bytes += bytes.length;
    if (bytes.length >= smallBytes) {
      this.#growing = false;
      this.#chunks.push({ stream, offset, bytes, timeMs });
      return;
    }
    const last = this.#chunks.at(-1);
    const grows =
      this.#growing &&
      last !== undefined &&
      last.stream === stream &&
      last.offset + last.bytes.length === offset &&
      this.#arena.length - this.#arenaUsed >= bytes.length;
    if (grows) {
      const begin = this.#arenaUsed - last.bytes.length;
      this.#arenaUsed += bytes.copy(this.#arena, this.#arenaUsed);
      last.bytes = this.#arena.subarray(begin, this.#arenaUsed);
      return;
    }
    if (this.#arena.length - this.#arenaUsed < bytes.length) {
      this.#arena = Buffer.allocUnsafeSlow(arenaBytes);
      this.#arenaUsed = 0;
    }
    const begin = this.#arenaUsed;
    this.#arenaUsed += bytes.copy(this.#arena, begin);
    this.#growing = true;
    this.#chunks.push({ stream, offset, bytes: this.#arena.subarray(begin, this.#arenaUsed), timeMs });
  }

  /** The chunk that holds `offset`, or the first behind it. */
  at(offset: number): Chunk | undefined {
    return this.#chunks[this.#indexOf(offset)];
  }

  /** Chunks from `offset` on, together at most `maxBytes` but at least one. */
  from(offset: number, maxBytes: number): Chunk[] {
    const found: Chunk[] = [];
    let bytes = 0;
    for (let index = this.#indexOf(offset); index < this.#chunks.length; index += 1) {
      const chunk = this.#chunks[index] as Chunk;
      bytes += chunk.bytes.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(chunk);
    }
    return found;
  }

  /** Forgets the oldest chunks that end at or before `written`, but those that end behind `needed` only as far as there are more than `keepBytes`. */
  trim(written: number, needed: number, keepBytes: number): void {
    for (;;) {
      const chunk = this.#chunks[this.#first];
      const end = chunk === undefined ? Infinity : chunk.offset + chunk.bytes.length;
      if (chunk === undefined || end > written || (end > needed && this.#bytes <= keepBytes)) break;
      this.#chunks[this.#first] = undefined as unknown as Chunk;
      this.#first += 1;
      this.#bytes -= chunk.bytes.length;
    }
    if (this.#first === this.#chunks.length) {
      this.#chunks = [];
      this.#first = 0;
      this.#growing = false;
    } else if (this.#first > 1024) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }

  #indexOf(offset: number): number {
    let low = this.#first;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.#chunks[middle] as Chunk;
      if (chunk.offset + chunk.bytes.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
