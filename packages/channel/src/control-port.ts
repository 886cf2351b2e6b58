import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import { type ControlReply, type ControlRequest, controlReply, maxControlLineBytes } from '@sylph/model';
import { agentFailed } from './failure.ts';
import { LineSplitter } from './lines.ts';

/** Most bytes without one answer to an open request that are read from a guest before it is dropped: a restored guest owes us at most the rest of an old line. */
export const maxGarbageBytes = 1024 * 1024;

interface Waiting {
  resolve(reply: ControlReply): void;
  reject(error: unknown): void;
}

/**
 * The control port over one connected socket, which it owns: JSON lines, answers matched to requests by id.
 * What does not parse, is too long or answers nothing is ignored, up to {@link maxGarbageBytes} in a row.
 */
export class ControlPort {
  /** Resolves with the reason once the port is closed, by whichever side. */
  readonly closed: Promise<string>;
  readonly #socket: net.Socket;
  readonly #lines = new LineSplitter(maxControlLineBytes);
  readonly #waiting = new Map<string, Waiting>();
  #garbageBytes = 0;
  #reason: string | undefined;
  #flooded = false;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.closed = promise;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('close', () => {
      const reason = (this.#reason ??= 'the control port closed');
      for (const waiting of this.#waiting.values()) waiting.reject(agentFailed(reason));
      this.#waiting.clear();
      resolve(reason);
    });
    // Half a line of an earlier life may lie in the ring in front of ours.
    socket.write('\n');
    socket.resume();
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  /** The guest was dropped because it sent nothing but garbage. */
  get flooded(): boolean {
    return this.#flooded;
  }

  /**
   * Sends a request and waits for its answer; with `repeatMs`, sends it again after each of those delays (the last one is repeated) as long as there is none:
   * requests are idempotent. Rejects with `agent_failed` when the port closes, with the abort reason when `signal` fires.
   */
  async request(
    request: ControlRequest,
    options: { signal: AbortSignal; repeatMs?: readonly number[] },
  ): Promise<ControlReply> {
    options.signal.throwIfAborted();
    if (this.#reason !== undefined) throw agentFailed(this.#reason);
    const id = randomBytes(8).toString('hex');
    const line = `${JSON.stringify({ id, ...request })}\n`;
    const { promise, resolve, reject } = Promise.withResolvers<ControlReply>();
    const abort = () => reject(options.signal.reason);
    options.signal.addEventListener('abort', abort, { once: true });
    this.#waiting.set(id, { resolve, reject });
    let repeat: NodeJS.Timeout | undefined;
    let sent = 0;
    const send = () => {
      // A guest that does not read yet gets one copy, not a queue of them.
      if (this.#socket.writableLength === 0 || sent === 0) this.#socket.write(line);
      const delays = options.repeatMs;
      if (delays !== undefined) repeat = setTimeout(send, delays[Math.min(sent, delays.length - 1)]);
      sent += 1;
    };
    send();
    try {
      return await promise;
    } finally {
      clearTimeout(repeat);
      this.#waiting.delete(id);
      options.signal.removeEventListener('abort', abort);
    }
  }

  /** Closes the socket; open requests reject with the reason. Idempotent. */
  close(reason: string): void {
    this.#reason ??= reason;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#garbageBytes += chunk.length;
    for (const line of this.#lines.push(chunk)) this.#answer(line);
    if (this.#garbageBytes > maxGarbageBytes) {
      this.#flooded = true;
      this.close(`the guest sent more than ${maxGarbageBytes} bytes on its control port that answer nothing`);
    }
  }

  #answer(line: Buffer): void {
    const reply = parseReply(line);
    const waiting = reply === undefined ? undefined : this.#waiting.get(reply.id);
    if (reply === undefined || waiting === undefined) return;
    this.#garbageBytes = 0;
    this.#waiting.delete(reply.id);
    waiting.resolve(reply);
  }
}

function parseReply(line: Buffer): ControlReply | undefined {
  try {
    const parsed = controlReply.safeParse(JSON.parse(line.toString('utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    // The wire says to ignore such lines: an earlier life may have left half of one.
    return undefined;
  }
}
