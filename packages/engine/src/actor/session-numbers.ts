/** Numbers reserved at once: one durable write for so many sessions. Those a daemon did not use are never given. */
const blockSize = 64;

/** Hands out the session numbers of one sprite. `reserve` durably takes a block and returns its first number. */
export class SessionNumbers {
  readonly #reserve: (count: number) => Promise<number>;
  #next = 0;
  #left = 0;
  #reserving: Promise<void> | undefined;

  constructor(reserve: (count: number) => Promise<number>) {
    this.#reserve = reserve;
  }

  /** The next number. */
  async take(): Promise<number> {
    while (this.#left === 0) {
      this.#reserving ??= this.#refill().finally(() => (this.#reserving = undefined));
      await this.#reserving;
    }
    this.#left--;
    return this.#next++;
  }

  async #refill(): Promise<void> {
    this.#next = await this.#reserve(blockSize);
    this.#left = blockSize;
  }
}
