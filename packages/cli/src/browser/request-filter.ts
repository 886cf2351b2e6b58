/** What a program in a sprite writes to its terminal to have an address opened: `ESC ] 9999;browser-open;<url>[;ports] ESC \`. */
const start = Buffer.from('\x1b]9999;browser-open;', 'latin1');

/** Longest sequence that is taken for one, bytes. Longer ones are output like any other; terminals show nothing of them. */
export const maxRequestBytes = 4096;

const esc = 0x1b;

/** Takes the requests to open an address out of the output of a terminal, whatever pieces it comes in. All other bytes pass unchanged; of them only the beginning of what may be a request waits for more. */
export class RequestFilter {
  readonly #found: (text: string) => void;
  #held = Buffer.alloc(0);

  /** `found` is told what stands between the start and the end of each request, as latin1. */
  constructor(found: (text: string) => void) {
    this.#found = found;
  }

  /** The bytes to show. */
  read(bytes: Uint8Array): Uint8Array {
    if (this.#held.length === 0 && !bytes.includes(esc)) return bytes;
    const all = Buffer.concat([this.#held, bytes]);
    const shown: Uint8Array[] = [];
    let from = 0;
    for (let at = all.indexOf(esc); at >= 0;) {
      const request = readRequest(all.subarray(at));
      if (request === 'unfinished') {
        shown.push(all.subarray(from, at));
        // A copy: the piece it lies in may be large.
        this.#held = Buffer.from(all.subarray(at));
        return Buffer.concat(shown);
      }
      if (request === undefined) at = all.indexOf(esc, at + 1);
      else {
        shown.push(all.subarray(from, at));
        from = at + request.length;
        this.#found(request.text);
        at = all.indexOf(esc, from);
      }
    }
    this.#held = Buffer.alloc(0);
    shown.push(all.subarray(from));
    return Buffer.concat(shown);
  }

  /** What was held back; call it when the output has ended. */
  end(): Uint8Array {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}

/** The request that `bytes`, from an ESC on, begin with. */
function readRequest(bytes: Buffer): { text: string; length: number } | 'unfinished' | undefined {
  const known = Math.min(bytes.length, start.length);
  if (bytes.compare(start, 0, known, 0, known) !== 0) return undefined;
  if (bytes.length < start.length) return 'unfinished';
  const end = bytes.subarray(start.length, maxRequestBytes).findIndex(isControl);
  if (end < 0) return bytes.length < maxRequestBytes ? 'unfinished' : undefined;
  const at = start.length + end;
  // Every control character but ST ends the sequence without effect.
  if (bytes[at] !== esc) return undefined;
  if (at + 1 >= bytes.length) return 'unfinished';
  if (bytes[at + 1] !== 0x5c) return undefined;
  return { text: bytes.toString('latin1', start.length, at), length: at + 2 };
}

const isControl = (byte: number): boolean => byte < 0x20 || byte === 0x7f;
