const newline = 0x0a;

/**
 * Cuts a byte stream into lines. A line longer than `maxLineBytes` is skipped up to its newline. Keeps at most one unfinished line.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #partsBytes = 0;
  #skipping = false;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Lines finished by this chunk, without their newline. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      this.#keep(chunk.subarray(from, at));
      if (!this.#skipping)
        lines.push(
          this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts, this.#partsBytes),
        );
      this.#clear();
      this.#skipping = false;
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
    return lines;
  }

  #keep(part: Buffer): void {
    if (this.#skipping || part.length === 0) return;
    if (this.#partsBytes + part.length > this.#maxLineBytes) {
      this.#skipping = true;
      this.#clear();
      return;
    }
    this.#parts.push(part);
    this.#partsBytes += part.length;
  }

  #clear(): void {
    this.#parts = [];
    this.#partsBytes = 0;
  }
}
