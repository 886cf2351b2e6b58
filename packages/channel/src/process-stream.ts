import http2 from 'node:http2';
import { type ProcessEvent, ProcessStartError, type ProcessStream } from '@sylph/engine';
import {
  type Frame,
  type SignalName,
  type StartedPayload,
  decodeOffsetPayload,
  encodeFrame,
  encodeOffsetFrame,
  exitPayload,
  failedPayload,
  frameType,
  startedPayload,
} from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { EventQueue } from './event-queue.ts';
import { agentFailed, textOf } from './failure.ts';
import { FramePieces } from './frame-pieces.ts';
import { parseJson, refusal } from './json-request.ts';

/** Largest piece of input in one frame: its offset and it make a payload of 64 KiB. */
export const maxInputPieceBytes = 64 * 1024 - 8;

/**
 * Input under way that the process has not read. The agent holds twice as much; at its limit it stops reading the stream, and acknowledgements and signals behind
 * the input would wait for a process that may itself be waiting for them.
 */
export const inputWindowBytes = 512 * 1024;

/** How long the guest may take to start a process or to find one. */
const startDeadlineMs = 60_000;

/** Longest body of an error answer that is read. */
const maxErrorBytes = 64 * 1024;

/** A {@link ProcessStream} over one duplex HTTP/2 stream, which it owns. Checks that output comes without gaps from `offset` on. */
export class HttpProcessStream implements ProcessStream {
  readonly started: Promise<StartedPayload>;
  readonly events: AsyncIterable<ProcessEvent>;
  readonly #stream: http2.ClientHttp2Stream;
  readonly #decoder = new FramePieces({
    output: (name, offset, bytes) => this.#output(name, offset, bytes),
    frame: (frame) => this.#frame(frame),
  });
  readonly #queue: EventQueue;
  readonly #start: PromiseWithResolvers<StartedPayload>;
  readonly #startTimer: NodeJS.Timeout;
  #phase: 'starting' | 'running' | 'over' = 'starting';
  #offset: number;
  #status = 0;
  #errorBody: Buffer[] = [];
  #errorBytes = 0;
  /** Latest of each, kept while the stream takes no more: older ones say nothing the newest does not. */
  #pendingAck: number | undefined;
  #pendingSize: { cols: number; rows: number } | undefined;
  #roomMade: PromiseWithResolvers<void> | undefined;
  #inputAcked = 0;
  /** How far input has gone out, and where its end lies once that is known: the end must not overtake pieces that wait for room. */
  #inputSent = 0;
  #inputEnd: number | undefined;

  /** `first` is written at once. */
  constructor(stream: http2.ClientHttp2Stream, offset: number, first?: Buffer) {
    this.#stream = stream;
    this.#offset = offset;
    this.#queue = new EventQueue(() => stream.resume());
    this.events = this.#queue;
    this.#start = Promise.withResolvers();
    this.started = this.#start.promise;
    // Whoever only reads `events` learns of the failure there.
    this.started.catch(() => {});
    this.#startTimer = setTimeout(
      () => this.#break(agentFailed(`the guest did not start the process within ${startDeadlineMs} ms`)),
      startDeadlineMs,
    );
    stream.on('response', (headers) => (this.#status = headers[':status'] ?? 0));
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.on('drain', () => this.#drain());
    stream.on('error', (error) => this.#break(agentFailed(`the process's stream broke: ${textOf(error)}`, error)));
    // A guest may end its half and keep the stream open.
    stream.on('end', () => this.#closed());
    stream.on('close', () => this.#closed());
    if (first !== undefined) stream.write(first);
  }

  async writeStdin(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxInputPieceBytes) {
      const piece = bytes.subarray(at, at + maxInputPieceBytes);
      while (this.#inputFull(offset + at + piece.length)) await this.#room();
      if (!this.#open()) return;
      this.#stream.write(encodeOffsetFrame(frameType.stdin, offset + at, piece));
      this.#inputSent = Math.max(this.#inputSent, offset + at + piece.length);
    }
    this.#sendEnd();
    while (this.#inputFull(offset + bytes.length + 1)) await this.#room();
  }

  endStdin(offset: number): void {
    this.#inputEnd = offset;
    this.#sendEnd();
  }

  ack(offset: number): void {
    if (!this.#open()) return;
    if (this.#stream.writableNeedDrain) this.#pendingAck = offset;
    else this.#stream.write(encodeOffsetFrame(frameType.ack, offset));
  }

  resize(size: { cols: number; rows: number }): void {
    if (!this.#open()) return;
    if (this.#stream.writableNeedDrain) this.#pendingSize = size;
    else this.#stream.write(encodeSize(size));
  }

  signal(signal: SignalName): void {
    if (this.#open()) this.#stream.write(encodeFrame(frameType.signal, Buffer.from(signal, 'latin1')));
  }

  close(): void {
    this.#break(agentFailed('the stream was closed'));
  }

  #sendEnd(): void {
    if (this.#inputEnd === undefined || this.#inputEnd > this.#inputSent || !this.#open()) return;
    this.#stream.write(encodeOffsetFrame(frameType.stdinEof, this.#inputEnd));
    this.#inputEnd = undefined;
  }

  #open(): boolean {
    return this.#phase !== 'over' && this.#stream.writable;
  }

  /** Input up to `offset` has to wait. */
  #inputFull(offset: number): boolean {
    return this.#open() && (this.#stream.writableNeedDrain || offset - this.#inputAcked > inputWindowBytes);
  }

  #room(): Promise<void> {
    this.#roomMade ??= Promise.withResolvers();
    return this.#roomMade.promise;
  }

  #makeRoom(): void {
    this.#roomMade?.resolve();
    this.#roomMade = undefined;
  }

  #drain(): void {
    if (this.#pendingAck !== undefined) this.ack(this.#pendingAck);
    this.#pendingAck = undefined;
    if (this.#pendingSize !== undefined) this.resize(this.#pendingSize);
    this.#pendingSize = undefined;
    this.#makeRoom();
  }

  #take(chunk: Buffer): void {
    if (this.#phase === 'over') return;
    if (this.#status !== 200) {
      this.#errorBytes += chunk.length;
      if (this.#errorBytes <= maxErrorBytes) this.#errorBody.push(chunk);
      else this.#break(agentFailed(`the guest's agent answered ${this.#status} with an endless text`));
      return;
    }
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#break(agentFailed(`the guest's agent broke the frame rules: ${textOf(error)}`, error));
    }
    if (this.#queue.full) this.#stream.pause();
  }

  #output(stream: 'stdout' | 'stderr', offset: number, bytes: Buffer): void {
    if (this.#phase === 'over') return;
    if (this.#phase === 'starting') throw new Error('output before the process started');
    if (offset !== this.#offset) throw new Error(`output at ${offset}, not at ${this.#offset}`);
    this.#offset += bytes.length;
    this.#queue.push({ type: 'output', stream, offset, bytes });
  }

  #frame(frame: Frame): void {
    if (this.#phase === 'over') return;
    if (this.#phase === 'starting') {
      this.#startFrame(frame);
      return;
    }
    switch (frame.type) {
      case frameType.stdinAck:
        this.#inputAcked = Math.max(this.#inputAcked, decodeOffsetPayload(frame.payload).offset);
        this.#queue.push({ type: 'stdin-ack', offset: this.#inputAcked });
        this.#makeRoom();
        return;
      case frameType.exit: {
        const exit = parseJson(exitPayload, frame.payload, 'an exit');
        if (exit.outputOffset !== this.#offset)
          throw new Error(`an exit at ${exit.outputOffset} after output up to ${this.#offset}`);
        this.#queue.push({
          type: 'exit',
          exit: { ...exit, signal: exit.signal === null ? null : cleanText(exit.signal, 16) },
        });
        this.#over();
        this.#queue.finish();
        this.#stream.end();
        return;
      }
      default:
        // A newer agent may say more; frames it invents carry no output.
        return;
    }
  }

  #startFrame(frame: Frame): void {
    if (frame.type === frameType.failed) {
      const failed = parseJson(failedPayload, frame.payload, 'a failure');
      this.#break(new ProcessStartError(cleanText(failed.code, 32), cleanText(failed.error, 512)));
      return;
    }
    if (frame.type !== frameType.started) throw new Error(`a frame of type ${frame.type} before the process started`);
    const started = parseJson(startedPayload, frame.payload, 'a start');
    clearTimeout(this.#startTimer);
    this.#phase = 'running';
    this.#inputAcked = started.inputOffset;
    this.#inputSent = Math.max(this.#inputSent, started.inputOffset);
    this.#sendEnd();
    this.#start.resolve({ ...started, path: cleanText(started.path, 4096) });
  }

  #closed(): void {
    if (this.#phase === 'over') return;
    if (this.#status !== 0 && this.#status !== 200) this.#break(refusal(this.#status, Buffer.concat(this.#errorBody)));
    else this.#break(agentFailed("the process's stream ended before the process did"));
  }

  /** First reason wins. */
  #break(error: unknown): void {
    if (this.#phase === 'over') return;
    this.#over();
    this.#start.reject(error);
    this.#queue.fail(error);
    this.#stream.close(http2.constants.NGHTTP2_CANCEL);
  }

  #over(): void {
    this.#phase = 'over';
    clearTimeout(this.#startTimer);
    this.#makeRoom();
  }
}

function encodeSize(size: { cols: number; rows: number }): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt16BE(size.cols, 0);
  payload.writeUInt16BE(size.rows, 2);
  return encodeFrame(frameType.resize, payload);
}
