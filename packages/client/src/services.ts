import type { Service, ServiceEvent } from '@sylph/model';
import { delay } from './deadline.ts';
import { ClientError } from './errors.ts';
import { isObject } from './json.ts';
import { segment, type Http } from './http.ts';
import { isBroken, pauseAfter } from './reconnect.ts';
import { unexpected, type CallOptions } from './sprites.ts';

/** What a service is. */
export interface ServiceRequest {
  /** The program. */
  cmd: string;
  args?: readonly string[] | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  dir?: string | undefined;
  /** Services that have to run before it. */
  needs?: readonly string[] | undefined;
  /** It serves HTTP there; at most one service of a sprite has one. */
  httpPort?: number | undefined;
}

/** How long a start is told of, ms; default 5,000. The service goes on afterwards. */
export type WindowOptions = { windowMs?: number | undefined } & CallOptions;

/** As long as a server goes on with one answer. */
const longestWindowMs = 24 * 24 * 3_600_000;
/** Most lines of an answer; where a broken stream is taken up again, the new one is looked for among them. */
const mostLines = 10_000;

/** Services of a sprite: programs it keeps running. Everything wakes the sprite. */
export class Services {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** By name. */
  async list(sprite: string, options: CallOptions = {}): Promise<Service[]> {
    const answer = await this.#http.json(base(sprite), { timeoutMs: this.#wakeMs, ...options });
    if (!Array.isArray(answer)) throw unexpected('a list of services');
    return answer as Service[];
  }

  async get(sprite: string, name: string, options: CallOptions = {}): Promise<Service> {
    const answer = await this.#http.json(at(sprite, name), { timeoutMs: this.#wakeMs, ...options });
    if (!isObject(answer) || !isObject(answer['state'])) throw unexpected('a service');
    return answer as unknown as Service;
  }

  /** Creates or replaces it, starts it, and tells what happens. The last event is `complete`. The request is sent when the first is asked for. */
  put(
    sprite: string,
    name: string,
    request: ServiceRequest,
    options: WindowOptions = {},
  ): AsyncGenerator<ServiceEvent> {
    const { cmd, args, env, dir, needs, httpPort } = request;
    const body = { cmd, args, env, dir, needs, http_port: httpPort };
    return this.#events('PUT', at(sprite, name), { query: windowQuery(options), body, signal: options.signal });
  }

  /** Starts it with what it needs; events as of {@link put}. */
  start(sprite: string, name: string, options: WindowOptions = {}): AsyncGenerator<ServiceEvent> {
    return this.#events('POST', `${at(sprite, name)}/start`, { query: windowQuery(options), signal: options.signal });
  }

  /** Ends it if it runs, and starts it; events as of {@link put}. */
  restart(sprite: string, name: string, options: WindowOptions = {}): AsyncGenerator<ServiceEvent> {
    return this.#events('POST', `${at(sprite, name)}/restart`, { query: windowQuery(options), signal: options.signal });
  }

  /** Ends it until somebody starts it: TERM, and KILL after `timeoutMs`, default 10,000. Events as of {@link put}. */
  stop(
    sprite: string,
    name: string,
    options: { timeoutMs?: number | undefined } & CallOptions = {},
  ): AsyncGenerator<ServiceEvent> {
    return this.#events('POST', `${at(sprite, name)}/stop`, {
      query: { timeout: goDuration(options.timeoutMs) },
      signal: options.signal,
    });
  }

  /** Sends a signal to its process group. */
  async signal(sprite: string, name: string, signalName: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base(sprite)}/signal`, {
      method: 'POST',
      body: { name, signal: signalName },
      timeoutMs: this.#wakeMs,
      ...options,
    });
  }

  /**
   * The newest lines of its log, default 100, and what comes within `windowMs`, default 0; with `follow` also all that come until the caller leaves. A followed connection that breaks is taken up again where it broke, unless the service wrote more than 10,000 lines or
   * 2 MiB in between.
   */
  async *logs(
    sprite: string,
    name: string,
    options: { lines?: number | undefined; follow?: boolean } & WindowOptions = {},
  ): AsyncGenerator<ServiceEvent, void, undefined> {
    const { follow = false, signal } = options;
    const seen = new LastSeen();
    for (let failures = 0; ;) {
      const lines = seen.some ? mostLines : options.lines;
      const query = {
        lines: lines === undefined ? undefined : String(lines),
        duration: goDuration(follow ? longestWindowMs : options.windowMs),
      };
      const again = seen.resume();
      try {
        for await (const event of this.#events('GET', `${at(sprite, name)}/logs`, { query, signal })) {
          failures = 0;
          if (event.type === 'complete' && follow) throw new ClientError('connection_lost', 'the log ended');
          if (again(event)) continue;
          seen.note(event);
          yield event;
        }
        if (!follow) return;
      } catch (thrown) {
        failures += 1;
        if (!follow || !isBroken(thrown) || failures > this.#http.options.resumeAttempts) throw thrown;
        const ends = AbortSignal.any([signal, this.#http.options.signal].filter((each) => each !== undefined));
        await delay(pauseAfter(failures), ends);
      }
    }
  }

  /** Ends and removes it. */
  async delete(sprite: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(at(sprite, name), { method: 'DELETE', timeoutMs: this.#wakeMs, ...options });
  }

  /** Deadline of a request that may wake the sprite, ms. */
  get #wakeMs(): number {
    return this.#http.options.timeouts.lifecycleMs;
  }

  async *#events(
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    request: { query?: Record<string, string | undefined>; body?: unknown } & CallOptions,
  ): AsyncGenerator<ServiceEvent, void, undefined> {
    for await (const line of this.#http.lines(path, { method, ...request })) {
      const event = line as unknown as ServiceEvent;
      yield event;
      if (event.type === 'complete') return;
    }
    throw new ClientError('connection_lost', 'the stream about a service broke off');
  }
}

/** Where a log was read to: output has no numbers, but times that go forward, and an order. What else happens is in no log. */
class LastSeen {
  #timestamp = 0;
  /** Events of that time that were seen. */
  #count = 0;

  get some(): boolean {
    return this.#count > 0;
  }

  note({ type, timestamp }: ServiceEvent): void {
    if (!isOutput(type)) return;
    this.#count = timestamp === this.#timestamp ? this.#count + 1 : 1;
    this.#timestamp = timestamp;
  }

  /** Tells of each event of a new stream whether it was seen in the one before. */
  resume(): (event: ServiceEvent) => boolean {
    let left = this.#count;
    const until = this.#timestamp;
    return ({ type, timestamp }) => isOutput(type) && (timestamp < until || (timestamp === until && left-- > 0));
  }
}

function isOutput(type: ServiceEvent['type']): boolean {
  return type === 'stdout' || type === 'stderr';
}

function base(sprite: string): string {
  return `/v1/sprites/${segment(sprite)}/services`;
}

function at(sprite: string, name: string): string {
  return `${base(sprite)}/${segment(name)}`;
}

function windowQuery({ windowMs }: WindowOptions): Record<string, string | undefined> {
  return { duration: goDuration(windowMs) };
}

function goDuration(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : `${ms}ms`;
}
