const bucketMs = 1000;

/** Bytes per second over about the last second, from two counters. */
export class Rate {
  #bucket = 0;
  #current = 0;
  #previous = 0;

  add(bytes: number, nowMs: number): void {
    this.#roll(nowMs);
    this.#current += bytes;
  }

  bytesPerSecond(nowMs: number): number {
    this.#roll(nowMs);
    const elapsed = (nowMs % bucketMs) / bucketMs;
    return Math.round(this.#previous * (1 - elapsed) + this.#current);
  }

  #roll(nowMs: number): void {
    const bucket = Math.floor(nowMs / bucketMs);
    if (bucket === this.#bucket) return;
    this.#previous = bucket === this.#bucket + 1 ? this.#current : 0;
    this.#current = 0;
    this.#bucket = bucket;
  }
}
