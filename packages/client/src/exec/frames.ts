import { ClientError } from '../errors.ts';

/** First byte of the binary messages of a command without a terminal (reference: stream ids of exec). */
export const streamByte = { stdin: 0, stdout: 1, stderr: 2, exit: 3, stdinEof: 4 } as const;

/** A piece of output. */
export interface OutputChunk {
  stream: 'stdout' | 'stderr';
  bytes: Uint8Array;
}

/** A decoded binary message. */
export type ExecFrame = { type: 'output'; chunk: OutputChunk } | { type: 'exit'; code: number } | { type: 'ignored' };

/** Decodes a message of a command without a terminal. Unknown stream ids are ignored: newer servers may have more. */
export function decodeFrame(message: Uint8Array): ExecFrame {
  const bytes = message.subarray(1);
  switch (message[0]) {
    case streamByte.stdout:
      return { type: 'output', chunk: { stream: 'stdout', bytes } };
    case streamByte.stderr:
      return { type: 'output', chunk: { stream: 'stderr', bytes } };
    case streamByte.exit: {
      const code = bytes[bytes.length - 1];
      if (code === undefined) throw new ClientError('protocol', 'the server sent an exit without a code');
      return { type: 'exit', code };
    }
    default:
      return { type: 'ignored' };
  }
}

/** Largest payload sent in one message, bytes. */
export const maxSendBytes = 64 * 1024;

/** Messages that carry `bytes` to a command's stdin: raw for a terminal, with the stream id otherwise. */
export function* encodeInput(bytes: Uint8Array, tty: boolean): Generator<Uint8Array, void, undefined> {
  for (let start = 0; start < bytes.length; start += maxSendBytes) {
    const part = bytes.subarray(start, start + maxSendBytes);
    if (tty) yield part;
    else {
      const message = new Uint8Array(part.length + 1);
      message[0] = streamByte.stdin;
      message.set(part, 1);
      yield message;
    }
  }
}
