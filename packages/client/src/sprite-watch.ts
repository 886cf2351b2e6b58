import type { Sprite } from '@sylph/model';
import { delay } from './deadline.ts';
import { ClientError } from './errors.ts';
import type { Http } from './http.ts';
import { isObject } from './json.ts';
import { isBroken, pauseAfter } from './reconnect.ts';

/** A line of `GET /v1/sprites` that is watched: the state of a sprite, that it is gone (`deleted`), or that all has been told so far (`heartbeat`). */
export interface SpriteChange {
  type?: 'heartbeat' | 'deleted';
  /** Of all but a heartbeat. */
  name?: string;
  status?: Sprite['status'];
  state?: Sprite['state'];
  running_version?: string | null;
  last_running_at?: string | null;
  last_warming_at?: string | null;
  timestamp: string;
  org: { name: string; running: number; warm: number; cold: number; running_limit: number; warm_limit: number };
}

/**
 * The state of each sprite and then every change, until the signal. A connection that breaks is opened again; the state of each is told again then, and what is gone meanwhile as `deleted`.
 * Throws at once when the first connection fails.
 */
export async function* watchSprites(
  http: Http,
  options: { prefix?: string | undefined; signal?: AbortSignal | undefined },
): AsyncGenerator<SpriteChange, void, undefined> {
  const { prefix, signal } = options;
  const known = new KnownSprites();
  for (let failures = 0, begun = false; ;) {
    try {
      const lines = http.lines('/v1/sprites', {
        query: { prefix },
        headers: { accept: 'application/x-ndjson' },
        signal,
      });
      known.begin();
      for await (const line of lines) {
        begun = true;
        failures = 0;
        const change = changeOf(line);
        yield* known.gone(change);
        yield change;
      }
      throw new ClientError('connection_lost', 'the server ended the watch', { retryable: true });
    } catch (thrown) {
      failures += 1;
      if (!begun || !isBroken(thrown) || failures > http.options.resumeAttempts) throw thrown;
      const ends = AbortSignal.any([signal, http.options.signal].filter((each) => each !== undefined));
      await delay(pauseAfter(failures), ends);
    }
  }
}

/** Names that were told of, to notice on a new connection which of them it does not tell of. */
class KnownSprites {
  #names = new Set<string>();
  /** What the connection told of so far, while it is at its first telling, which a heartbeat ends. */
  #told: Set<string> | undefined;

  /** A connection begins. */
  begin(): void {
    this.#told = new Set();
  }

  /** Takes note of a change; what it shows to be gone. */
  *gone(change: SpriteChange): Generator<SpriteChange, void, undefined> {
    const { name, timestamp, org } = change;
    if (name !== undefined) {
      for (const names of [this.#names, this.#told])
        if (change.type === 'deleted') names?.delete(name);
        else names?.add(name);
    }
    if (change.type !== 'heartbeat' || this.#told === undefined) return;
    const missed = [...this.#names].filter((each) => this.#told?.has(each) !== true);
    this.#told = undefined;
    for (const each of missed) {
      this.#names.delete(each);
      yield { type: 'deleted', name: each, timestamp, org };
    }
  }
}

function changeOf(line: Record<string, unknown>): SpriteChange {
  if (typeof line['timestamp'] === 'string' && isObject(line['org'])) return line as unknown as SpriteChange;
  throw new ClientError('protocol', "the server's answer is not a watch of sprites");
}
