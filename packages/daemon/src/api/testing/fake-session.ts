import type { Session, SessionEnd, SessionEvent, SessionRequest, StopCause } from '@sylph/engine';
import { SylphError, type SignalName } from '@sylph/model';

/** A session whose output, input and end a test writes and reads. */
export class FakeSession implements Session {
  readonly id: string;
  readonly request: SessionRequest;
  readonly createdAt = new Date();
  readonly pid = 4711;
  readonly lastActivityAt = new Date();
  readonly bytesPerSecond = 0;
  readonly ended: Promise<SessionEnd>;
  resolvedPath: string;
  size: { cols: number; rows: number } | null;
  clients = 0;
  end: SessionEnd | undefined;
  endOffset = 0;
  /** What {@link inputOffset} says; undefined: nobody knows. */
  inputBytes: number | undefined = 0;
  /** What clients have sent, as text: input, `<eof>`, `<80x24>`, `<TERM>`. */
  readonly received: string[] = [];
  /** Called for each signal before it counts as sent. */
  onSignal: (signal: SignalName) => void = () => {};
  /** Called for each write; the write is done when it resolves. */
  onWrite: (bytes: Buffer) => void | Promise<void> = () => {};
  /** Furthest byte a reader has taken: shows whether it is held back. */
  takenOffset = 0;
  readonly #events: SessionEvent[] = [];
  #resting = false;
  readonly #ended = Promise.withResolvers<SessionEnd>();
  #changed = Promise.withResolvers<void>();

  constructor(id: string, request: SessionRequest) {
    this.id = id;
    this.request = request;
    this.resolvedPath = request.path.includes('/') ? request.path : `/usr/bin/${request.path}`;
    this.size = request.tty;
    this.ended = this.#ended.promise;
  }

  /** The process prints. */
  print(text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout'): void {
    const bytes = Buffer.from(text);
    this.#push({ type: 'output', stream, offset: this.endOffset, bytes });
    this.endOffset += bytes.length;
  }

  /** Output is missing from the journal. */
  drop(from: number, to: number): void {
    this.#push({ type: 'dropped', from, to });
  }

  exit(code: number, signal: string | null = null): void {
    this.finish({ how: 'exited', code, signal, at: new Date().toISOString() });
  }

  finish(end: SessionEnd): void {
    this.end = end;
    this.#push({ type: 'end', end });
    this.#ended.resolve(end);
  }

  /** Its sprite falls asleep: who reads comes to an end that is none. */
  rest(): void {
    this.#resting = true;
    this.#changed.resolve();
  }

  async *read({ offset, signal }: { offset: number; signal: AbortSignal }): AsyncIterable<SessionEvent> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let index = 0; !signal.aborted; index++) {
      while (index >= this.#events.length && !signal.aborted && !this.#resting)
        await Promise.race([this.#changed.promise, aborted]);
      const event = this.#events[index];
      if (event === undefined && this.#resting) return;
      if (event === undefined) break;
      if (event.type !== 'output') {
        yield event;
        if (event.type === 'end') return;
        continue;
      }
      const skip = Math.max(0, offset - event.offset);
      if (skip >= event.bytes.length) continue;
      this.takenOffset = event.offset + event.bytes.length;
      yield { ...event, offset: event.offset + skip, bytes: event.bytes.subarray(skip) };
    }
    throw new DOMException('reading was aborted', 'AbortError');
  }

  attach(): Disposable {
    this.clients++;
    let attached = true;
    return {
      [Symbol.dispose]: () => {
        if (attached) this.clients--;
        attached = false;
      },
    };
  }

  async inputOffset(): Promise<number | undefined> {
    return this.inputBytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.inputBytes !== undefined) this.inputBytes += bytes.length;
    this.received.push(Buffer.from(bytes).toString());
    await this.onWrite(Buffer.from(bytes));
  }

  endInput(): void {
    this.received.push('<eof>');
  }

  resize(size: { cols: number; rows: number }): void {
    this.size = size;
    this.received.push(`<${size.cols}x${size.rows}>`);
  }

  async signal(signal: SignalName): Promise<void> {
    if (this.end !== undefined) throw new SylphError('session_exited', `session ${this.id} has exited`);
    this.received.push(`<${signal}>`);
    this.onSignal(signal);
  }

  async stop(signal: SignalName, cause: StopCause): Promise<void> {
    this.received.push(`<${cause}>`);
    await this.signal(signal);
  }

  #push(event: SessionEvent): void {
    this.#events.push(event);
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }
}
