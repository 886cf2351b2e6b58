/** Longest delay `setTimeout` takes. */
const maxTimerMs = 2 ** 31 - 1;

/** A timer that can be held and goes on where it was held. Calls `onZero` once per `start`. */
export class Countdown {
  readonly #onZero: () => void;
  #leftMs: number | undefined;
  #timer: { handle: NodeJS.Timeout; since: number } | undefined;
  #held = false;

  constructor(onZero: () => void) {
    this.#onZero = onZero;
  }

  /** Begins anew. */
  start(lengthMs: number): void {
    this.stop();
    this.#leftMs = lengthMs;
    this.#run();
  }

  /** Forgets all. */
  stop(): void {
    this.#pause();
    this.#leftMs = undefined;
  }

  /** Time stands still until `release`. */
  hold(): void {
    this.#held = true;
    this.#pause();
  }

  release(): void {
    this.#held = false;
    this.#run();
  }

  #run(): void {
    if (this.#held || this.#leftMs === undefined || this.#timer !== undefined) return;
    this.#timer = {
      since: performance.now(),
      handle: setTimeout(() => this.#fire(), Math.min(this.#leftMs, maxTimerMs)),
    };
  }

  #pause(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer.handle);
    if (this.#leftMs !== undefined) this.#leftMs = Math.max(0, this.#leftMs - (performance.now() - this.#timer.since));
    this.#timer = undefined;
  }

  #fire(): void {
    this.#pause();
    if (this.#leftMs === undefined) return;
    // Timers round down, and a very long time takes several.
    if (this.#leftMs > 1) {
      this.#run();
      return;
    }
    this.#leftMs = undefined;
    this.#onZero();
  }
}
