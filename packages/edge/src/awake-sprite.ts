import type { Duplex } from 'node:stream';
import { GuestDialError, type GuestChannel } from '@sylph/engine';
import { EdgeFailure } from './failure.ts';
import { GuestPool, type Target } from './guest-pool.ts';
import type { LastTargets } from './last-targets.ts';
import type { EdgeLimits } from './limits.ts';
import { findTarget, revivePort, webService, type FoundTarget } from './targets.ts';

/** A choice is looked at again when it is so old, beside the requests: a service with an HTTP port may have been added. */
const recheckMs = 10_000;
/** A connection that a search has made waits so long for who takes it. */
const unusedMs = 1_000;
/** Ports of a sprite with connections that are kept. */
const maxPools = 64;

/** A way to send one request. */
export interface Way {
  pool: GuestPool;
  /** A new connection; undefined: the pool has one. */
  dialled: Duplex | undefined;
}

/** Nobody may be left to take the connection of a search. */
function dropUnused(found: FoundTarget): void {
  setTimeout(() => found.stream?.destroy(), unusedMs).unref();
}

/** What the edge knows of a sprite for as long as its channel lives: where its URL leads, and connections. */
export class AwakeSprite {
  readonly #channel: GuestChannel;
  readonly #spriteId: string;
  readonly #limits: EdgeLimits;
  readonly #last: LastTargets;
  readonly #pools = new Map<string, GuestPool>();
  #choice: Target | undefined;
  #checkedAt = performance.now();
  /** Searches under way, by port; `null`: where the URL leads. */
  readonly #searches = new Map<number | null, Promise<FoundTarget>>();

  constructor(channel: GuestChannel, spriteId: string, limits: EdgeLimits, last: LastTargets) {
    this.#channel = channel;
    this.#spriteId = spriteId;
    this.#limits = limits;
    this.#last = last;
    this.#choice = last.get(spriteId);
  }

  /**
   * A way to a port, or where the URL leads. `unrepeatable`: a request that must not be sent twice; `fresh`: a kept connection has just failed. Rejects with `no_http_server`, with the reason of `signal`, and as the channel does.
   */
  async way(
    port: number | null,
    options: { unrepeatable: boolean; fresh: boolean; signal: AbortSignal },
  ): Promise<Way> {
    const known = port === null ? this.#known() : { host: 'localhost', port };
    if (known !== undefined) {
      const pool = this.#pool(known);
      if (!options.fresh && pool.hasIdle(options)) return { pool, dialled: undefined };
      try {
        return { pool, dialled: await pool.dial(options.signal) };
      } catch (error) {
        if (!(error instanceof GuestDialError)) throw error;
      }
    }
    const found = await this.#search(port, options.signal);
    const pool = this.#pool(found.target);
    const { stream } = found;
    found.stream = undefined;
    if (stream?.writable === true) return { pool, dialled: pool.adopt(stream) };
    try {
      return { pool, dialled: await pool.dial(options.signal) };
    } catch (error) {
      if (!(error instanceof GuestDialError)) throw error;
      throw new EdgeFailure('no_http_server', `the sprite refused the connection: ${error.message}`, { cause: error });
    }
  }

  #known(): Target | undefined {
    if (this.#choice !== undefined && performance.now() - this.#checkedAt > recheckMs) this.#recheck(this.#choice);
    return this.#choice;
  }

  #recheck(choice: Target): void {
    this.#checkedAt = performance.now();
    webService(this.#channel, new AbortController().signal).then(
      (web) => {
        if (this.#choice === choice && web?.http_port && web.http_port !== choice.port) this.#choose(undefined);
      },
      () => {
        // What was chosen is still tried; when it fails, the search says why.
      },
    );
  }

  /** Joins a search under way; who leaves does not end it for the others. */
  async #search(port: number | null, signal: AbortSignal): Promise<FoundTarget> {
    let search = this.#searches.get(port);
    if (search === undefined) {
      search = this.#find(port).finally(() => this.#searches.delete(port));
      this.#searches.set(port, search);
      search.then(dropUnused, () => {
        // Who waits for it hears of it.
      });
    }
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([search, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  async #find(port: number | null): Promise<FoundTarget> {
    // Every step has a deadline of its own, and ends with the channel.
    const { signal } = new AbortController();
    try {
      if (port !== null) return await revivePort(this.#channel, port, this.#limits, signal);
      const found = await findTarget(this.#channel, this.#limits, signal);
      this.#choose(found.target);
      return found;
    } catch (error) {
      if (port === null) this.#choose(undefined);
      throw error;
    }
  }

  #choose(target: Target | undefined): void {
    this.#choice = target;
    this.#checkedAt = performance.now();
    this.#last.set(this.#spriteId, target);
  }

  /** Ports come from visitors: connections to many are not kept. */
  #dropIdlePools(): void {
    for (const [key, pool] of this.#pools) {
      if (Object.keys(pool.sockets).length > 0) continue;
      pool.destroy();
      this.#pools.delete(key);
    }
  }

  #pool(target: Target): GuestPool {
    const key = `${target.host} ${target.port}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      if (this.#pools.size >= maxPools) this.#dropIdlePools();
      const { maxRequestsPerSprite: maxConnections, maxIdleConnections: maxIdle } = this.#limits;
      pool = new GuestPool(this.#channel, target, { maxConnections, maxIdle });
      this.#pools.set(key, pool);
    }
    return pool;
  }
}
