/** What a program in a sprite writes to its terminal to have an address opened: `ESC ] 9999;browser-open;<url>[;ports] ESC \`. */
const start = Buffer.from('\x1b]9999;browser-open;', 'latin1');

/** Longest sequence that is taken for one, bytes. Longer ones are output like any other; terminals show nothing of them. */
export const maxRequestBytes = 4096;

const esc = 0x1b;

/**
 * Takes the requests to open an address out of the output of a terminal, whatever pieces it comes in, with the line behind them that says the same to people whose terminal knows nothing of requests. All other
 * bytes pass unchanged; of them only the beginning of what may be a request, or that line, waits for more.
 */
export class RequestFilter {
  readonly #found: (text: string) => void;
  #held = Buffer.alloc(0);
  /** Forms of the line that may come next. */
  #lines: readonly Buffer[] = [];

  /** `found` is told what stands between the start and the end of each request, as latin1. */
  constructor(found: (text: string) => void) {
    this.#found = found;
  }

  /** The bytes to show. */
  read(bytes: Uint8Array): Uint8Array {
    if (this.#held.length === 0 && this.#lines.length === 0 && !bytes.includes(esc)) return bytes;
    const all = Buffer.concat([this.#held, bytes]);
    const shown: Uint8Array[] = [];
    const hold = (at: number): Uint8Array => {
      // A copy: the piece it lies in may be large.
      this.#held = Buffer.from(all.subarray(at));
      return Buffer.concat(shown);
    };
    let from = this.#behindLine(all, 0);
    if (from === undefined) return hold(0);
    for (let at = all.indexOf(esc, from); at >= 0;) {
      const request = readRequest(all.subarray(at));
      if (request === 'unfinished') {
        shown.push(all.subarray(from, at));
        return hold(at);
      }
      if (request === undefined) at = all.indexOf(esc, at + 1);
      else {
        shown.push(all.subarray(from, at));
        this.#found(request.text);
        this.#lines = linesOf(request.text);
        from = this.#behindLine(all, at + request.length);
        if (from === undefined) return hold(at + request.length);
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

  /** Where `all` goes on behind the line that may stand at `from`; undefined when that cannot be told yet. */
  #behindLine(all: Buffer, from: number): number | undefined {
    const rest = all.subarray(from);
    const known = (line: Buffer): number => Math.min(rest.length, line.length);
    const alike = this.#lines.filter((line) => line.compare(rest, 0, known(line), 0, known(line)) === 0);
    const whole = alike.find((line) => line.length <= rest.length);
    if (whole === undefined && alike.length > 0) return undefined;
    this.#lines = [];
    return from + (whole?.length ?? 0);
  }
}

/** What `sprite-browser` writes behind a request. Terminals that are not raw put a carriage return of their own before a line feed. */
function linesOf(text: string): Buffer[] {
  const line = `Open this address: ${text.split(';', 1)[0]}`;
  return ['\r\n', '\r\r\n'].map((end) => Buffer.from(line + end, 'latin1'));
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
