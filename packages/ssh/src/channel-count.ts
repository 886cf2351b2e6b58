/** Channels of a connection against their limit. */
export class ChannelCount {
  readonly #max: number;
  #open = 0;

  constructor(max: number) {
    this.#max = max;
  }

  take(): boolean {
    if (this.#open >= this.#max) return false;
    this.#open += 1;
    return true;
  }

  release(): void {
    this.#open -= 1;
  }
}
