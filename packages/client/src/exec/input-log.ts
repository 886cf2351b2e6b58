/** Confirmed bytes that are kept all the same: a server that crashed may have lost what it had confirmed. */
const keptBytes = 2 ** 20;

/** What became of the input when a connection broke. */
export type InputFate = { known: true; resend: Uint8Array[] } | { known: false };

/** Remembers the end of what was sent, so that input can go on after a broken connection without a byte lost or doubled. */
export class InputLog {
  /** Bytes sent so far. */
  sentBytes = 0;
  #confirmedBytes = 0;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;

  sent(bytes: Uint8Array): void {
    this.sentBytes += bytes.length;
    // A copy: the caller may fill its buffer anew.
    this.#kept.push(bytes.slice());
    this.#keptBytes += bytes.length;
  }

  /** The server has read all messages up to this count. */
  confirm(bytes: number): void {
    this.#confirmedBytes = Math.max(this.#confirmedBytes, bytes);
    const needed = this.unconfirmedBytes + keptBytes;
    for (
      let first = this.#kept[0];
      first !== undefined && this.#keptBytes - first.length >= needed;
      first = this.#kept[0]
    ) {
      this.#kept.shift();
      this.#keptBytes -= first.length;
    }
  }

  get unconfirmedBytes(): number {
    return this.sentBytes - this.#confirmedBytes;
  }

  /** What to send again. `acceptedBytes` is what the server says it has; without it only a fully confirmed input can go on. */
  fate(acceptedBytes: number | undefined): InputFate {
    if (acceptedBytes === undefined) return this.unconfirmedBytes > 0 ? { known: false } : { known: true, resend: [] };
    const missing = this.sentBytes - acceptedBytes;
    if (missing < 0 || missing > this.#keptBytes) return { known: false };
    let skip = this.#keptBytes - missing;
    const resend: Uint8Array[] = [];
    for (const part of this.#kept) {
      if (skip < part.length) resend.push(part.subarray(skip));
      skip = Math.max(0, skip - part.length);
    }
    return { known: true, resend };
  }
}
