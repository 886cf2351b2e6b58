/** Calls `work` at once, then at most every `everyMs`; the last call of a burst is made up for. */
export class Throttle {
  readonly #everyMs: number;
  readonly #work: () => void;
  #lastMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(everyMs: number, work: () => void) {
    this.#everyMs = everyMs;
    this.#work = work;
  }

  call(): void {
    if (this.#timer !== undefined) return;
    const waitMs = this.#lastMs + this.#everyMs - performance.now();
    if (waitMs <= 0) this.#run();
    else this.#timer = setTimeout(() => this.#run(), waitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #run(): void {
    this.#timer = undefined;
    this.#lastMs = performance.now();
    this.#work();
  }
}
