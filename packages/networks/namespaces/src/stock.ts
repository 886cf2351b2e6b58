/** Quiet time after a slot was taken before another is made: a VM that starts needs the processor more. */
const restMs = 1_000;
/** Time between two slots that are made in a row, and after one that could not be made. */
const paceMs = 250;
const failureMs = 10_000;

/** Slots that are ready, filled up in the background: one at a time, and slowly. */
export class Stock<Slot> implements AsyncDisposable {
  readonly #size: number;
  readonly #make: () => Promise<Slot>;
  readonly #onFailure: (error: unknown) => void;
  readonly #ready: Slot[] = [];
  #timer: NodeJS.Timeout | undefined;
  #making: Promise<void> | undefined;
  #closed = false;

  constructor(options: { size: number; make: () => Promise<Slot>; onFailure: (error: unknown) => void }) {
    this.#size = options.size;
    this.#make = options.make;
    this.#onFailure = options.onFailure;
  }

  /** Those that are ready now. */
  get ready(): readonly Slot[] {
    return this.#ready;
  }

  /** Makes one now, whose failure is the caller's. */
  async prove(): Promise<void> {
    this.#ready.push(await this.#make());
  }

  /** Begins to fill, or goes on in `waitMs`; the last word counts. */
  fill(waitMs = 0): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#making) return;
    this.#timer = setTimeout(() => {
      if (this.#ready.length < this.#size) this.#making = this.#makeOne();
    }, waitMs);
    this.#timer.unref();
  }

  /** One that is ready, else a new one, whose failure is the caller's. */
  async take(): Promise<Slot> {
    const slot = this.#ready.shift() ?? (await this.#make());
    this.fill(restMs);
    return slot;
  }

  /** Stops filling; what is ready stays in {@link ready}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#making;
  }

  async #makeOne(): Promise<void> {
    let waitMs = paceMs;
    try {
      this.#ready.push(await this.#make());
    } catch (error) {
      waitMs = failureMs;
      this.#onFailure(error);
    }
    this.#making = undefined;
    this.fill(waitMs);
  }
}
