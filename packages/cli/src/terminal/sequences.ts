/** What a terminal's output consists of, as far as it matters for putting the terminal back. */
export type Sequence =
  | { type: 'csi'; prefix: string; params: string; intermediates: string; final: string }
  | { type: 'esc'; intermediates: string; final: string }
  | { type: 'osc'; text: string }
  | { type: 'control'; byte: number };

/** Longest sequence that is looked at, bytes; of longer ones (images, clipboards) only the beginning counts. */
const maxKept = 256;

const esc = 0x1b;

/**
 * Finds control sequences (ECMA-48) in a stream, whatever pieces it comes in. It follows the state machine every terminal has: ESC and CAN end what is
 * unfinished, strings end with ST or BEL. Bytes beyond ASCII are text.
 */
export class SequenceReader {
  #state: 'ground' | 'escape' | 'csi' | 'osc' | 'string' = 'ground';
  #text = '';
  #stringEscape = false;

  /** Whether the stream stands inside a sequence: what is written next would be swallowed. */
  get unfinished(): boolean {
    return this.#state !== 'ground';
  }

  read(bytes: Uint8Array, found: (sequence: Sequence) => void): void {
    for (let at = 0; at < bytes.length; at++) {
      // Text between sequences is passed over at the speed of indexOf.
      if (this.#state === 'ground') {
        at = nextControl(bytes, at);
        if (at >= bytes.length) return;
      }
      this.#step(bytes[at] as number, found);
    }
  }

  #step(byte: number, found: (sequence: Sequence) => void): void {
    if (this.#stringEscape) {
      this.#stringEscape = false;
      if (byte === 0x5c) return this.#endString(found);
      // Not ST: the string is aborted and a new sequence begins.
      this.#enter('escape');
    }
    if (byte === 0x18 || byte === 0x1a) return this.#enter('ground');
    switch (this.#state) {
      case 'ground':
        if (byte === esc) this.#enter('escape');
        else found({ type: 'control', byte });
        return;
      case 'escape':
        return this.#escape(byte, found);
      case 'csi':
        return this.#csi(byte, found);
      case 'osc':
      case 'string':
        if (byte === esc) this.#stringEscape = true;
        else if (byte === 0x07 && this.#state === 'osc') this.#endString(found);
        else this.#keep(byte);
        return;
      default:
        this.#state satisfies never;
    }
  }

  #escape(byte: number, found: (sequence: Sequence) => void): void {
    if (byte === esc) return this.#enter('escape');
    if (byte < 0x20) return found({ type: 'control', byte });
    if (byte < 0x30) return this.#keep(byte);
    if (this.#text === '') {
      if (byte === 0x5b) return this.#enter('csi');
      if (byte === 0x5d) return this.#enter('osc');
      if (byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) return this.#enter('string');
    }
    const intermediates = this.#text;
    this.#enter('ground');
    if (byte < 0x7f) found({ type: 'esc', intermediates, final: String.fromCharCode(byte) });
  }

  #csi(byte: number, found: (sequence: Sequence) => void): void {
    if (byte === esc) return this.#enter('escape');
    if (byte < 0x20) return found({ type: 'control', byte });
    if (byte < 0x40 || byte > 0x7e) return this.#keep(byte);
    const match = /^([<=>?]?)([0-9:;]*)([ -/]*)$/.exec(this.#text);
    this.#enter('ground');
    if (match !== null)
      found({
        type: 'csi',
        prefix: match[1] ?? '',
        params: match[2] ?? '',
        intermediates: match[3] ?? '',
        final: String.fromCharCode(byte),
      });
  }

  #endString(found: (sequence: Sequence) => void): void {
    const text = this.#text;
    const isOsc = this.#state === 'osc';
    this.#enter('ground');
    if (isOsc) found({ type: 'osc', text });
  }

  #enter(state: 'ground' | 'escape' | 'csi' | 'osc' | 'string'): void {
    this.#state = state;
    this.#text = '';
  }

  #keep(byte: number): void {
    if (this.#text.length < maxKept) this.#text += String.fromCharCode(byte);
  }
}

function nextControl(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] as number) >= 0x20) at++;
  return at;
}
