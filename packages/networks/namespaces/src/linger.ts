/** Slots of sleeping sprites, each for a while; beyond `max` the oldest goes first. Whatever leaves without being taken back goes to `drop`. */
export class Linger<Slot> {
  readonly #slots = new Map<string, { slot: Slot; timer: NodeJS.Timeout }>();
  readonly #durationMs: number;
  readonly #max: number;
  readonly #drop: (slot: Slot) => void;

  constructor(options: { durationMs: number; max: number; drop: (slot: Slot) => void }) {
    this.#durationMs = options.durationMs;
    this.#max = options.max;
    this.#drop = options.drop;
  }

  keep(id: string, slot: Slot): void {
    const timer = setTimeout(() => this.#leave(id), this.#durationMs);
    timer.unref();
    this.#slots.set(id, { slot, timer });
    const [oldest] = this.#slots.keys();
    if (this.#slots.size > this.#max && oldest !== undefined) this.#leave(oldest);
  }

  /** Gives a sprite its slot back, if it is still there. */
  take(id: string): Slot | undefined {
    const found = this.#slots.get(id);
    if (!found) return undefined;
    clearTimeout(found.timer);
    this.#slots.delete(id);
    return found.slot;
  }

  get(id: string): Slot | undefined {
    return this.#slots.get(id)?.slot;
  }

  /** All that are there now. */
  all(): Slot[] {
    return [...this.#slots.values()].map(({ slot }) => slot);
  }

  /** Drops all. */
  clear(): void {
    for (const id of this.#slots.keys()) this.#leave(id);
  }

  #leave(id: string): void {
    const slot = this.take(id);
    if (slot !== undefined) this.#drop(slot);
  }
}
