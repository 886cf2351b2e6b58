import type { CreateSpriteRequest, ForkRequest, ListSpritesResponse, Sprite, UpdateSpriteRequest } from '@sylph/model';
import { ClientError } from './errors.ts';
import { isObject } from './json.ts';
import { segment, type Http } from './http.ts';
import { watchSprites, type SpriteChange } from './sprite-watch.ts';

/** Last option of everything that waits. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Options of what makes something. */
export interface RepeatableOptions extends CallOptions {
  /** Makes repeating safe: the server answers a second request with the same key as it answered the first. */
  idempotencyKey?: string | undefined;
}

/** Answer of `restart`. */
export interface RestartResult {
  sprite_name: string;
  machine_id: string;
  message: string;
}

/** Answer of `check`; `elapsed` in milliseconds. */
export interface CheckResult {
  sprite_name: string;
  sprite_id: string;
  status: string;
  reason?: string;
  checked_at: string;
  elapsed: number;
}

/** Sprites: their records and their life. */
export class Sprites {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Durable when it resolves. */
  async create(request: CreateSpriteRequest, options: RepeatableOptions = {}): Promise<Sprite> {
    return asSprite(
      await this.#http.json('/v1/sprites', {
        method: 'POST',
        body: request,
        timeoutMs: this.#http.options.timeouts.createMs,
        headers: idempotency(options),
        signal: options.signal,
      }),
    );
  }

  async get(name: string, options: CallOptions = {}): Promise<Sprite> {
    return asSprite(await this.#http.json(path(name), options));
  }

  /** All sprites by name, page by page as they are read. */
  async *list(
    query: { prefix?: string | undefined; pageSize?: number | undefined } & CallOptions = {},
  ): AsyncGenerator<Sprite, void, undefined> {
    let token: string | undefined;
    do {
      const page = await this.page({ ...query, token });
      yield* page.sprites;
      // Some servers say that there is more without saying where.
      token = page.has_more ? (page.next_continuation_token ?? undefined) : undefined;
    } while (token !== undefined);
  }

  /** One page, with the counters of the organization. */
  async page(
    query: {
      prefix?: string | undefined;
      pageSize?: number | undefined;
      token?: string | undefined;
    } & CallOptions = {},
  ): Promise<ListSpritesResponse> {
    const answer = await this.#http.json('/v1/sprites', {
      query: { prefix: query.prefix, max_results: query.pageSize?.toString(), continuation_token: query.token },
      signal: query.signal,
    });
    if (!isObject(answer) || !Array.isArray(answer['sprites'])) throw unexpected('a list of sprites');
    return answer as ListSpritesResponse;
  }

  /** The state of every sprite and then each change, until the signal. Connections that break are opened again. After the first telling, and now and then, comes a heartbeat. */
  watch(query: { prefix?: string | undefined } & CallOptions = {}): AsyncGenerator<SpriteChange, void, undefined> {
    return watchSprites(this.#http, query);
  }

  async update(name: string, patch: UpdateSpriteRequest, options: CallOptions = {}): Promise<Sprite> {
    return asSprite(await this.#http.json(path(name), { method: 'PUT', body: patch, ...options }));
  }

  /** Irreversible; its checkpoints go too. */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(path(name), {
      method: 'DELETE',
      timeoutMs: this.#http.options.timeouts.lifecycleMs,
      ...options,
    });
  }

  /** Wakes it; resolves when it runs. */
  async start(name: string, options: CallOptions = {}): Promise<Sprite> {
    return this.#command(name, 'start', options);
  }

  /** Puts it to sleep with its memory. */
  async suspend(name: string, options: CallOptions = {}): Promise<Sprite> {
    return this.#command(name, 'suspend', options);
  }

  /** A failed sprite: back to the best state there is. */
  async recover(name: string, options: CallOptions = {}): Promise<Sprite> {
    return this.#command(name, 'recover', options);
  }

  /** Restarts it into the newest kernel and agent; undefined from servers that answer with nothing. */
  async upgrade(name: string, options: CallOptions = {}): Promise<Sprite | undefined> {
    const answer = await this.#post(name, 'upgrade', undefined, options);
    return isObject(answer) && typeof answer['name'] === 'string' ? (answer as unknown as Sprite) : undefined;
  }

  /** Boots it afresh from its present disk. */
  async restart(name: string, options: CallOptions = {}): Promise<RestartResult> {
    const answer = await this.#post(name, 'restart', undefined, options);
    if (!isObject(answer)) throw unexpected('the result of a restart');
    return answer as unknown as RestartResult;
  }

  /** Asks its agent; never wakes it. */
  async check(name: string, options: CallOptions = {}): Promise<CheckResult> {
    const answer = await this.#http.json(`${path(name)}/check`, options);
    if (!isObject(answer)) throw unexpected('the result of a check');
    return answer as unknown as CheckResult;
  }

  /** New sprites from its present or from a checkpoint, all or none. */
  async fork(name: string, request: ForkRequest, options: RepeatableOptions = {}): Promise<Sprite[]> {
    const answer = await this.#post(name, 'fork', request, options);
    if (!isObject(answer) || !Array.isArray(answer['sprites'])) throw unexpected('a list of forks');
    return answer['sprites'].map(asSprite);
  }

  async #command(name: string, verb: string, options: CallOptions): Promise<Sprite> {
    return asSprite(await this.#post(name, verb, undefined, options));
  }

  #post(name: string, verb: string, body: unknown, options: RepeatableOptions): Promise<unknown> {
    return this.#http.json(`${path(name)}/${verb}`, {
      method: 'POST',
      body,
      timeoutMs: this.#http.options.timeouts.lifecycleMs,
      headers: idempotency(options),
      signal: options.signal,
    });
  }
}

function idempotency({ idempotencyKey }: RepeatableOptions): Record<string, string> {
  return idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
}

function path(name: string): string {
  return `/v1/sprites/${segment(name)}`;
}

function asSprite(value: unknown): Sprite {
  if (isObject(value) && typeof value['name'] === 'string') return value as unknown as Sprite;
  throw unexpected('a sprite');
}

/** The server answered with success and something else than it should. */
export function unexpected(wanted: string): ClientError {
  return new ClientError('protocol', `the server's answer is not ${wanted}`, {
    hint: 'is this the address of a sylphd, and of this version?',
  });
}
