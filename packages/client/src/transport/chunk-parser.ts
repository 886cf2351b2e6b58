import { ClientError } from '../errors.ts';

/** What the parser finds. `chunk`s of an answer without chunked encoding are pieces of its body, as they came. */
export type HttpPart =
  | { type: 'head'; status: number; headers: Map<string, string> }
  | { type: 'chunk'; bytes: Uint8Array }
  | { type: 'end' };

const maxHeadBytes = 64 * 1024;
/** Longest chunk taken, bytes; the API's have at most 64 KiB. */
const maxChunkBytes = 2 ** 20;

/** Parses one HTTP/1.1 answer from any division of its bytes and keeps the borders of its chunks, which Node's own client and fetch do not show. */
export class ChunkParser {
  #buffer: Uint8Array = new Uint8Array(0);
  #state: 'head' | 'size' | 'data' | 'trailer' | 'plain' | 'done' = 'head';
  #left = 0;

  /** Whether the answer is complete; of one without any length only the connection's end tells. */
  get complete(): boolean {
    return this.#state === 'done' || (this.#state === 'plain' && this.#left === Infinity);
  }

  *push(bytes: Uint8Array): Generator<HttpPart, void, undefined> {
    this.#buffer = this.#buffer.length === 0 ? bytes : concat(this.#buffer, bytes);
    for (let part = this.#next(); part !== undefined; part = this.#next()) if (part !== 'more') yield part;
  }

  #next(): HttpPart | 'more' | undefined {
    switch (this.#state) {
      case 'head':
        return this.#head();
      case 'size':
        return this.#size();
      case 'data':
        return this.#data();
      case 'trailer':
        return this.#trailer();
      case 'plain':
        return this.#plain();
      case 'done':
        return undefined;
      default:
        return this.#state satisfies never;
    }
  }

  #head(): HttpPart | 'more' | undefined {
    const end = indexOf(this.#buffer, '\r\n\r\n');
    if (end < 0) return this.#tooLong(maxHeadBytes);
    const [statusLine = '', ...lines] = latin1(this.#take(end + 4))
      .trimEnd()
      .split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
    if (!Number.isInteger(status))
      throw new ClientError('protocol', 'the answer is not HTTP/1.1', { hint: 'is this the address of a sylphd?' });
    if (status < 200) return 'more';
    const headers = new Map(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).trim().toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    const length = headers.get('content-length');
    if (/\bchunked\b/i.test(headers.get('transfer-encoding') ?? '')) this.#state = 'size';
    else {
      this.#left = length === undefined ? Infinity : Number(length);
      this.#state = this.#left === 0 ? 'done' : 'plain';
    }
    return { type: 'head', status, headers };
  }

  #size(): 'more' | undefined {
    const end = indexOf(this.#buffer, '\r\n');
    if (end < 0) return this.#tooLong(maxHeadBytes);
    const size = /^([0-9a-f]{1,8})[ \t]*(;|$)/i.exec(latin1(this.#take(end + 2)).trimEnd())?.[1];
    this.#left = size === undefined ? NaN : Number.parseInt(size, 16);
    if (!(this.#left <= maxChunkBytes)) throw new ClientError('protocol', 'the answer has a malformed chunk');
    this.#state = this.#left === 0 ? 'trailer' : 'data';
    return 'more';
  }

  #data(): HttpPart | undefined {
    if (this.#buffer.length < this.#left + 2) return undefined;
    const bytes = this.#take(this.#left);
    if (latin1(this.#take(2)) !== '\r\n') throw new ClientError('protocol', 'the answer has a malformed chunk');
    this.#state = 'size';
    return { type: 'chunk', bytes };
  }

  #trailer(): HttpPart | 'more' | undefined {
    const end = indexOf(this.#buffer, '\r\n');
    if (end < 0) return this.#tooLong(maxHeadBytes);
    this.#take(end + 2);
    if (end > 0) return 'more';
    this.#state = 'done';
    return { type: 'end' };
  }

  #plain(): HttpPart | undefined {
    if (this.#buffer.length === 0) return undefined;
    const bytes = this.#take(Math.min(this.#buffer.length, this.#left));
    this.#left -= bytes.length;
    if (this.#left === 0) this.#state = 'done';
    return { type: 'chunk', bytes };
  }

  #take(bytes: number): Uint8Array {
    const taken = this.#buffer.subarray(0, bytes);
    this.#buffer = this.#buffer.subarray(bytes);
    return taken;
  }

  #tooLong(limit: number): undefined {
    if (this.#buffer.length > limit) throw new ClientError('protocol', 'the answer has a head without end');
    return undefined;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function indexOf(bytes: Uint8Array, text: string): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(text, 0, 'latin1');
}
