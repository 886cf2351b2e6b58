import type { ProcessEvent } from '@sylph/engine';

/** What an event costs beside its bytes, so that a flood of small ones is bounded too. */
const eventCostBytes = 64;

/** Unread events beyond this stop the reading of the stream. */
const highWaterBytes = 256 * 1024;

/**
 * Events between the stream that decodes them and the one consumer that reads them. Never refuses: `full` tells the producer to stop reading,
 * `onRoom` when it may go on. What was pushed before `finish` or `fail` is still delivered.
 */
export class EventQueue implements AsyncIterableIterator<ProcessEvent, undefined, undefined> {
  readonly #onRoom: () => void;
  #events: ProcessEvent[] = [];
  #at = 0;
  #bytes = 0;
  #wasFull = false;
  #ended: { error: unknown } | 'finished' | undefined;
  #waiting:
    | { resolve(result: IteratorResult<ProcessEvent, undefined>): void; reject(error: unknown): void }
    | undefined;

  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  /** More is waiting than a consumer that keeps up leaves behind. */
  get full(): boolean {
    return this.#bytes >= highWaterBytes;
  }

  push(event: ProcessEvent): void {
    if (this.#ended !== undefined) return;
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: event });
      return;
    }
    this.#events.push(event);
    this.#bytes += costOf(event);
    if (this.full) this.#wasFull = true;
  }

  /** No event follows. */
  finish(): void {
    this.#end('finished');
  }

  /** Reading throws `error` once what came before is read. */
  fail(error: unknown): void {
    this.#end({ error });
  }

  next(): Promise<IteratorResult<ProcessEvent, undefined>> {
    const event = this.#events[this.#at];
    if (event !== undefined) {
      this.#drop(event);
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#ended === 'finished') return Promise.resolve({ done: true, value: undefined });
    if (this.#ended !== undefined) return Promise.reject(this.#ended.error);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  return(): Promise<IteratorResult<ProcessEvent, undefined>> {
    this.finish();
    this.#events = [];
    this.#at = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #drop(event: ProcessEvent): void {
    this.#at += 1;
    this.#bytes -= costOf(event);
    if (this.#at === this.#events.length) {
      this.#events = [];
      this.#at = 0;
      if (this.#wasFull) {
        this.#wasFull = false;
        this.#onRoom();
      }
    }
  }

  #end(how: { error: unknown } | 'finished'): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (how === 'finished') waiting?.resolve({ done: true, value: undefined });
    else waiting?.reject(how.error);
  }
}

function costOf(event: ProcessEvent): number {
  return eventCostBytes + (event.type === 'output' ? event.bytes.length : 0);
}
