import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { SessionEnd } from '@sylph/engine';
import { execFrameType, execFramesType, frameHeader, streamByte } from '@sylph/model';
import { PacedChunks } from './paced-chunks.ts';

/** Longest payload of a frame, and of a line before it is encoded. */
const maxPieceBytes = 64 * 1024;
/** After so long without output an empty piece goes out: clients give a body up after five minutes of silence. */
const silenceMs = 60_000;

/** Writes a command's output as the body of an HTTP answer. */
export interface ExecWriter {
  readonly contentType: string;
  /** Resolves when more may come, or the client is gone. */
  write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void>;
  /** Output the server no longer has. */
  dropped(from: number, to: number): Promise<void>;
  /** Writes how it ended. False: that cannot be said in this form, and the body has to break off. */
  finish(end: SessionEnd): Promise<boolean>;
}

/** The form a client asks for with `Accept`; without one of ours, the paced chunks that existing clients read. */
export function execWriterFor(accept: string | undefined): (response: ServerResponse) => ExecWriter {
  for (const part of (accept ?? '').split(',')) {
    const type = part.split(';')[0]?.trim().toLowerCase();
    if (type === execFramesType) return (response) => new FrameWriter(response);
    if (type === ndjsonType) return (response) => new LineWriter(response);
  }
  return (response) => new PacedWriter(response);
}

const ndjsonType = 'application/x-ndjson';
const goneText = (from: number, to: number): Buffer => Buffer.from(`[output from byte ${from} to ${to} is gone]\n`);

/** One chunk of the body is one frame (reference, 4.6). */
class PacedWriter implements ExecWriter {
  readonly contentType = 'application/octet-stream';
  readonly #chunks: PacedChunks;

  constructor(response: ServerResponse) {
    this.#chunks = new PacedChunks(response);
  }

  write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    return this.#chunks.write(streamByte[stream], bytes);
  }

  dropped(from: number, to: number): Promise<void> {
    return this.write('stderr', goneText(from, to));
  }

  async finish(end: SessionEnd): Promise<boolean> {
    if (end.how === 'lost') await this.write('stderr', Buffer.from(`the session was lost: ${end.reason}\n`));
    await this.#chunks.finish(end.how === 'lost' ? undefined : end.code);
    return end.how !== 'lost';
  }
}

/** Writes pieces that know their own length, as fast as the client reads, with an empty one in a long silence. */
class Pieces {
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #silence: NodeJS.Timeout;

  constructor(response: ServerResponse, breakSilence: () => void) {
    this.#response = response;
    this.#silence = setInterval(() => {
      // Who does not read has enough to read.
      if (!response.writableNeedDrain) breakSilence();
    }, silenceMs);
    const leave = (): void => {
      clearInterval(this.#silence);
      this.#gone.abort();
    };
    if (response.destroyed) leave();
    else response.once('close', leave);
  }

  async write(...parts: (Uint8Array | string)[]): Promise<void> {
    if (this.#response.destroyed) return;
    this.#silence.refresh();
    let room = true;
    for (const part of parts) room = this.#response.write(part);
    // A client that goes ends the wait; the reading of the session ends by itself.
    if (!room) await once(this.#response, 'drain', { signal: this.#gone.signal }).catch(() => {});
  }
}

/** `type u8 | length u32be | payload`. */
class FrameWriter implements ExecWriter {
  readonly contentType = execFramesType;
  readonly #pieces: Pieces;

  constructor(response: ServerResponse) {
    this.#pieces = new Pieces(response, () => void this.#frame(execFrameType.stdout, Buffer.alloc(0)));
  }

  async write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxPieceBytes)
      await this.#frame(execFrameType[stream], bytes.subarray(at, at + maxPieceBytes));
  }

  dropped(from: number, to: number): Promise<void> {
    return this.write('stderr', goneText(from, to));
  }

  async finish(end: SessionEnd): Promise<boolean> {
    const said = end.how === 'lost' ? { lost: end.reason } : { exit_code: end.code };
    await this.#frame(execFrameType.exit, Buffer.from(JSON.stringify(said)));
    return true;
  }

  #frame(type: number, payload: Buffer): Promise<void> {
    const header = frameHeader(type, payload.length);
    // An empty chunk would end the body.
    return payload.length === 0 ? this.#pieces.write(header) : this.#pieces.write(header, payload);
  }
}

/** One JSON object a line. */
class LineWriter implements ExecWriter {
  readonly contentType = ndjsonType;
  readonly #pieces: Pieces;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(response: ServerResponse) {
    this.#pieces = new Pieces(response, () => void this.#line({ type: 'stdout', data: '' }));
  }

  async write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxPieceBytes)
      await this.#line({ type: stream, ...this.#textOf(bytes.subarray(at, at + maxPieceBytes)) });
  }

  dropped(from: number, to: number): Promise<void> {
    return this.#line({ type: 'dropped', from, to });
  }

  async finish(end: SessionEnd): Promise<boolean> {
    await this.#line(end.how === 'lost' ? { type: 'lost', reason: end.reason } : { type: 'exit', exit_code: end.code });
    return true;
  }

  #textOf(bytes: Buffer): { data: string; encoding?: 'base64' } {
    try {
      return { data: this.#utf8.decode(bytes) };
    } catch {
      // No text, or cut within a character: base64 loses nothing.
      return { data: bytes.toString('base64'), encoding: 'base64' };
    }
  }

  #line(value: object): Promise<void> {
    return this.#pieces.write(`${JSON.stringify(value)}\n`);
  }
}
