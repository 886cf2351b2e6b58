import type { ProcessStream } from '@sylph/engine';

/**
 * Input kept until the guest has written it to the process, or taken it before a new stream; more is not accepted from clients. Half of what the agent holds: what an earlier daemon sent and what this
 * one sends fit together, so that the agent never stops reading a stream whose acknowledgements lie behind input.
 */
export const maxKeptInputBytes = 512 * 1024;

interface Piece {
  offset: number;
  bytes: Uint8Array;
}

/**
 * Input on its way to a process. What the guest has not acknowledged is kept and repeated when a stream breaks. Offsets are counted from the first byte this
 * object took; `#origin` is where that lies in the guest's count, which only the guest knows when the session is older than this daemon.
 */
export class SessionInput {
  #origin: number | undefined;
  #kept: Piece[] = [];
  #keptBytes = 0;
  /** Bytes kept so far, forgotten ones included. */
  #total = 0;
  /** Bytes writers have handed over so far: `#total`, and those whose turn has not come. */
  #accepted = 0;
  /** A client has said that no input follows what was accepted. */
  #ending = false;
  /** All that was accepted is kept, and no input follows. */
  #eof = false;
  #over = false;
  #stream: ProcessStream | undefined;
  /** Writers take turns: their bytes must not mix. */
  #turn: Promise<void> = Promise.resolve();
  #room: PromiseWithResolvers<void> | undefined;
  /** Resolves when `#origin` is known, or never will be. */
  readonly #placed = Promise.withResolvers<void>();

  /** `origin`: 0 for a new process, how far it got for one that has ended, undefined for one only the guest knows about. */
  constructor(options: { origin: number | undefined }) {
    this.#origin = options.origin;
    if (this.#origin !== undefined) this.#placed.resolve();
  }

  /** Bytes accepted so far, in the guest's count; undefined until the guest was heard. */
  get offset(): number | undefined {
    return this.#origin === undefined ? undefined : this.#origin + this.#accepted;
  }

  /** Resolves when {@link offset} is known, or never will be. */
  get placed(): Promise<void> {
    return this.#placed.promise;
  }

  /** Resolves when more may be written. Bytes after the end of input or of the process are dropped. `bytes` must not change afterwards. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#over || this.#ending || bytes.length === 0) return Promise.resolve();
    this.#accepted += bytes.length;
    this.#turn = this.#turn.then(() => this.#take(bytes));
    return this.#turn;
  }

  /** No input follows. Idempotent. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#turn = this.#turn.then(() => {
      if (this.#over) return;
      this.#eof = true;
      this.#sendEof();
    });
  }

  /** The process runs and has taken input up to `inputOffset`: what follows is sent, again if need be. */
  attach(stream: ProcessStream, inputOffset: number): void {
    this.#stream = stream;
    // A guest that claims more than it was given has only itself to fool: numbers go on from its own.
    if (this.#origin === undefined || inputOffset > this.#origin + this.#total) {
      if (this.#origin !== undefined) this.#forget(this.#total);
      this.#origin = inputOffset - (this.#origin === undefined ? 0 : this.#total);
    }
    this.#placed.resolve();
    // What the guest has taken is its to keep. It does not say again what it acknowledged over a stream that broke.
    this.#forget(inputOffset - this.#origin);
    for (const piece of this.#kept) this.#send(piece.offset, piece.bytes);
    if (this.#eof) this.#sendEof();
  }

  /** The stream is gone; input is kept for the next. */
  detach(stream: ProcessStream): void {
    if (this.#stream === stream) this.#stream = undefined;
  }

  /** The guest has written input up to here, in its own count. */
  acknowledge(inputOffset: number): void {
    if (this.#origin !== undefined) this.#forget(Math.min(inputOffset - this.#origin, this.#total));
  }

  /** The process has ended: all input is dropped, writers are let go. */
  close(): void {
    this.#over = true;
    this.#stream = undefined;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#room?.resolve();
    this.#placed.resolve();
  }

  async #take(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      while (this.#keptBytes >= maxKeptInputBytes && !this.#over) {
        this.#room = Promise.withResolvers();
        await this.#room.promise;
      }
      if (this.#over) return;
      const piece = bytes.subarray(at, at + maxKeptInputBytes - this.#keptBytes);
      const offset = this.#total;
      this.#kept.push({ offset, bytes: piece });
      this.#keptBytes += piece.length;
      this.#total += piece.length;
      at += piece.length;
      this.#send(offset, piece);
    }
  }

  #send(offset: number, bytes: Uint8Array): void {
    if (this.#stream === undefined || this.#origin === undefined) return;
    // Not waited for: what is under way is bounded by what is kept, and a broken stream is repeated from there.
    void this.#stream.writeStdin(this.#origin + offset, bytes).catch(() => {});
  }

  #sendEof(): void {
    if (this.#origin !== undefined) this.#stream?.endStdin(this.#origin + this.#total);
  }

  /** Drops what lies before `offset`. */
  #forget(offset: number): void {
    for (let first = this.#kept[0]; first !== undefined && first.offset < offset; first = this.#kept[0]) {
      const known = Math.min(first.bytes.length, offset - first.offset);
      this.#keptBytes -= known;
      if (known < first.bytes.length) {
        this.#kept[0] = { offset, bytes: first.bytes.subarray(known) };
        break;
      }
      this.#kept.shift();
    }
    if (this.#keptBytes < maxKeptInputBytes) this.#room?.resolve();
  }
}
