import { ClientError } from '../errors.ts';
import { parseObject } from '../json.ts';
import { joinBytes } from '../join-bytes.ts';
import { streamByte, type ExecFrame } from './frames.ts';

/** Media type of an HTTP exec's answer in frames that cannot be torn: `type u8 | length u32be | payload`. */
export const execFramesType = 'application/vnd.sylph.frames';

const headerBytes = 5;
/** Longest payload; longer ones are nonsense of somebody else. */
const maxPayloadBytes = 64 * 1024;

/** Reads the frames of an HTTP exec's body from any division of its bytes. Keeps at most one unfinished frame. */
export class BodyFrames {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes of the unfinished frame that have to be there before more is known of it. */
  #wanted = headerBytes;

  /** Frames completed by these bytes. Throws `protocol` for a body of another kind, and as {@link decodeBodyFrame} does. */
  *push(bytes: Uint8Array): Generator<ExecFrame, void, undefined> {
    this.#keep(bytes);
    while (this.#bytes >= this.#wanted) {
      const all = this.#parts.length === 1 ? (this.#parts[0] as Uint8Array) : joinBytes(this.#parts);
      let at = 0;
      let left = all.length;
      for (;;) {
        const length = left < headerBytes ? 0 : payloadLength(all, at);
        this.#wanted = headerBytes + length;
        if (left < this.#wanted) break;
        yield decodeBodyFrame(all[at] as number, all.subarray(at + headerBytes, at + this.#wanted));
        at += this.#wanted;
        left -= this.#wanted;
      }
      this.#parts = [];
      this.#bytes = 0;
      this.#keep(all.subarray(at));
    }
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
  }
}

function payloadLength(bytes: Uint8Array, at: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset + at, headerBytes).getUint32(1);
  if (length > maxPayloadBytes)
    throw new ClientError('protocol', `the server sent a frame of ${length} bytes, more than ${maxPayloadBytes}`);
  return length;
}

/** Reads a frame. Throws `session_lost` when nobody knows how the command ended. Unknown types are ignored: newer servers may have more. */
export function decodeBodyFrame(type: number, payload: Uint8Array): ExecFrame {
  switch (type) {
    case streamByte.stdout:
      return { type: 'output', chunk: { stream: 'stdout', bytes: payload } };
    case streamByte.stderr:
      return { type: 'output', chunk: { stream: 'stderr', bytes: payload } };
    case streamByte.exit:
      return endOf(payload);
    default:
      return { type: 'ignored' };
  }
}

function endOf(payload: Uint8Array): ExecFrame {
  const end = parseObject(payload);
  if (typeof end?.['lost'] === 'string')
    throw new ClientError('session_lost', `nobody knows how the command ended: ${end['lost']}`, {
      hint: 'look at what it has done before running it again',
    });
  const code = end?.['exit_code'];
  if (typeof code !== 'number' || !Number.isInteger(code) || code < 0 || code > 255)
    throw new ClientError('protocol', 'the server sent an exit without a code');
  return { type: 'exit', code };
}
