import http2 from 'node:http2';
import { Duplex } from 'node:stream';

/** Longest piece the agent sends; a longer one is none. */
const maxPieceBytes = 64 * 1024;
const lengthBytes = 4;

/**
 * A connection inside whose two directions end one by one, over a stream on which the guest's half comes in pieces, `length u32be | bytes`, the last of them empty. Closed without an end, the connection or the channel
 * broke. It owns the stream.
 */
export class PieceStream extends Duplex {
  readonly #stream: http2.ClientHttp2Stream;
  /** Of the length of the next piece, what has come. */
  readonly #length = Buffer.alloc(lengthBytes);
  #lengthHave = 0;
  /** Of the piece under way, what is to come. */
  #left = 0;
  #ended = false;

  constructor(stream: http2.ClientHttp2Stream) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.once('close', () => this.destroy());
    // Its owner may only look at its close.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream.destroyed || !this.#stream.writable) return done();
    this.#stream.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#stream.destroyed && !(this.#ended && this.writableFinished))
      this.#stream.close(http2.constants.NGHTTP2_CANCEL);
    done(error);
  }

  #take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.#ended;) {
      if (this.#left > 0) {
        const piece = chunk.subarray(at, at + this.#left);
        at += piece.length;
        this.#left -= piece.length;
        if (!this.push(piece)) this.#stream.pause();
        continue;
      }
      this.#length[this.#lengthHave++] = chunk[at++] as number;
      if (this.#lengthHave < lengthBytes) continue;
      this.#lengthHave = 0;
      this.#left = this.#length.readUInt32BE();
      if (this.#left > maxPieceBytes) return void this.destroy();
      if (this.#left === 0) {
        this.#ended = true;
        this.push(null);
      }
    }
  }
}
