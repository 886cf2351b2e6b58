import type { OrgRow, SpriteLease, SpriteService } from '@sylph/engine';
import type { SshLog } from './deps.ts';

/** Use is told to the engine at most this often, ms. */
const useIntervalMs = 1_000;

/** A connection's way to its sprite. While it is open, the sprite's sessions stay in hand, asleep or awake; only what flows keeps it awake. Dispose it. */
export class SpriteLink implements Disposable {
  readonly org: OrgRow;
  readonly name: string;
  readonly #service: SpriteService;
  readonly #log: SshLog;
  readonly #over = new AbortController();
  #held: SpriteLease | undefined;
  /** Those who wait for another channel to the guest. */
  readonly #waiting = new Set<() => void>();
  #toldAtMs = -Infinity;
  #wokenAtMs = -Infinity;

  constructor(service: SpriteService, { org, name, log }: { org: OrgRow; name: string; log: SshLog }) {
    this.#service = service;
    this.org = org;
    this.name = name;
    this.#log = log;
  }

  /** Fires when the connection is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Holds the sprite awake, waking it if need be, until the answer is disposed of. */
  async use(): Promise<SpriteLease> {
    const { signal } = this.#over;
    const lease = await this.#service.use(this.org, this.name, { signal });
    try {
      this.#hold(await this.#service.use(this.org, this.name, { signal, connection: true }));
      return lease;
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /** Bytes flow from the sprite, which is awake. */
  used(): void {
    const now = performance.now();
    if (now - this.#toldAtMs < useIntervalMs) return;
    this.#toldAtMs = now;
    this.#held?.used();
  }

  /** Bytes flow to the sprite: one that was put to sleep wakes. */
  wake(): void {
    const now = performance.now();
    if (now - this.#wokenAtMs < useIntervalMs) return;
    this.#wokenAtMs = now;
    this.#service.use(this.org, this.name, { signal: this.#over.signal, connection: true }).then(
      (lease) => this.#hold(lease),
      // What was sent waits in its session, whose own end tells the client if the sprite is beyond help.
      (error: unknown) => {
        if (!this.#over.signal.aborted) this.#log.warn({ err: error }, 'a sprite could not be woken for input');
      },
    );
  }

  /** Resolves when the sprite has another VM than now, reached over another channel, or `signal` fires. */
  async nextChannel(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    this.#waiting.delete(resolve);
  }

  [Symbol.dispose](): void {
    this.#over.abort();
    this.#held?.[Symbol.dispose]();
  }

  /** The newest lease, of the present VM, in the place of the one before. */
  #hold(lease: SpriteLease): void {
    const before = this.#held;
    this.#held = lease;
    if (before !== undefined && before.channel !== lease.channel) for (const resolve of this.#waiting) resolve();
    before?.[Symbol.dispose]();
    if (this.#over.signal.aborted) lease[Symbol.dispose]();
  }
}
