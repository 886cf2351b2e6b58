import type { Sprite as SpriteRecord } from '@sylph/model';
import type { SylphClient } from '../client.ts';
import type { CallOptions } from '../sprites.ts';
import { spriteInfo, spriteState } from './convert.ts';
import { EventStream } from './event-stream.ts';
import { createOptions, toCreateRequest } from './requests.ts';
import type { HandleOwner } from './sprite.ts';
import type {
  CreateSpriteOptions,
  ListOptions,
  RestartSpriteResult,
  SpriteCheck,
  SpriteConfig,
  SpriteList,
  SpriteStateEvent,
  UpdateSpriteOptions,
  URLSettings,
} from './types.ts';

/** What the client of the SDK's shape needs of its handles. */
export interface Handle {
  adopt(record: SpriteRecord): this;
  update(options: UpdateSpriteOptions): Promise<Handle>;
  delete(options?: CallOptions): Promise<void>;
  upgrade(options?: CallOptions): Promise<void>;
  restart(options?: CallOptions): Promise<RestartSpriteResult>;
  check(options?: CallOptions): Promise<SpriteCheck>;
}

/** Address of a daemon on this machine, as it is unless told otherwise. */
export const defaultBaseUrl = 'http://127.0.0.1:7777';

/** Options of the SDK's client. */
export interface SpritesClientOptions {
  /** Default {@link defaultBaseUrl}. */
  baseURL?: string | undefined;
  /** Milliseconds of a plain request, default 30,000. */
  timeout?: number | undefined;
  /** Accepted and without effect. */
  controlMode?: boolean | undefined;
}

/** Sprites in the shape of the npm SDK's client. `sylph` has all that Sylph can do. */
export class HandleClient<Sprite extends Handle> implements HandleOwner {
  readonly sylph: SylphClient;
  readonly token: string;
  /** No: the server has no control connection. */
  readonly controlMode = false;
  readonly #make: (name: string) => Sprite;

  constructor(sylph: SylphClient, token: string, make: (name: string) => Sprite) {
    this.sylph = sylph;
    this.token = token;
    this.#make = make;
  }

  get baseURL(): string {
    return this.sylph.baseUrl;
  }

  /** A handle; asks nobody. */
  sprite(name: string): Sprite {
    return this.#make(name);
  }

  /** Durable when it resolves. */
  async createSprite(
    name: string,
    configOrOptions?: SpriteConfig | CreateSpriteOptions,
    others?: Omit<CreateSpriteOptions, 'config'>,
  ): Promise<Sprite> {
    const options = createOptions(configOrOptions, others);
    const { signal, idempotencyKey } = options;
    return this.#handle(await this.sylph.sprites.create(toCreateRequest(name, options), { signal, idempotencyKey }));
  }

  async getSprite(name: string, options: CallOptions = {}): Promise<Sprite> {
    return this.#handle(await this.sylph.sprites.get(name, options));
  }

  /** One page. */
  async listSprites(options: ListOptions = {}): Promise<SpriteList> {
    const { prefix, maxResults: pageSize, continuationToken: token, signal } = options;
    const page = await this.sylph.sprites.page({ prefix, pageSize, token, signal });
    const list: SpriteList = {
      sprites: page.sprites.map(spriteInfo),
      hasMore: page.has_more,
      running: page.running,
      warm: page.warm,
      cold: page.cold,
      organizationName: page.name,
      runningLimit: page.running_limit,
      warmLimit: page.warm_limit,
    };
    return page.next_continuation_token === null
      ? list
      : { ...list, nextContinuationToken: page.next_continuation_token };
  }

  async listAllSprites(prefix?: string, options: CallOptions = {}): Promise<Sprite[]> {
    const all: Sprite[] = [];
    for await (const record of this.sylph.sprites.list({ prefix, ...options })) all.push(this.#handle(record));
    return all;
  }

  /** States and their changes. Connections that break are opened again. */
  watchSprites(options: Omit<ListOptions, 'continuationToken'> = {}): Promise<EventStream<SpriteStateEvent>> {
    const { prefix } = options;
    const { sprites } = this.sylph;
    return EventStream.open(async function* (signal): AsyncGenerator<SpriteStateEvent, void, undefined> {
      for await (const change of sprites.watch({ prefix, signal })) yield spriteState(change);
    }, options.signal);
  }

  deleteSprite(name: string, options: CallOptions = {}): Promise<void> {
    return this.sprite(name).delete(options);
  }

  upgradeSprite(name: string, options: CallOptions = {}): Promise<void> {
    return this.sprite(name).upgrade(options);
  }

  restartSprite(name: string, options: CallOptions = {}): Promise<RestartSpriteResult> {
    return this.sprite(name).restart(options);
  }

  checkSprite(name: string, options: CallOptions = {}): Promise<SpriteCheck> {
    return this.sprite(name).check(options);
  }

  async updateURLSettings(name: string, settings: URLSettings, options: CallOptions = {}): Promise<void> {
    await this.updateSprite(name, { urlSettings: settings, ...options });
  }

  async updateSprite(name: string, options: UpdateSpriteOptions): Promise<Sprite> {
    const sprite = this.sprite(name);
    await sprite.update(options);
    return sprite;
  }

  #handle(record: SpriteRecord): Sprite {
    return this.#make(record.name).adopt(record);
  }
}
