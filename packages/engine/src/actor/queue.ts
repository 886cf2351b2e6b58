/** Commands one sprite may have waiting; beyond it the caller is refused. */
const maxWaiting = 256;

/** Runs the commands of one sprite, one at a time, in order. Equal neighbours join. */
export class CommandQueue {
  #tail: { key: string | undefined; done: Promise<unknown> } | undefined;
  #waiting = 0;

  /** Whether nothing runs or waits. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /** Runs `work` when its turn comes. With a `key` equal to that of the last command still waiting or running, that command's result is shared instead. Undefined when the queue is full. */
  run<T>(key: string | undefined, work: () => Promise<T>): Promise<T> | undefined {
    if (key !== undefined && this.#tail?.key === key) return this.#tail.done as Promise<T>;
    if (this.#waiting >= maxWaiting) return undefined;
    this.#waiting++;
    const before = this.#tail?.done ?? Promise.resolve();
    const done = before.then(work, work).finally(() => {
      this.#waiting--;
      if (this.#tail === entry) this.#tail = undefined;
    });
    const entry = { key, done };
    this.#tail = entry;
    return done;
  }
}
