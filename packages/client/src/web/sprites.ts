import { SylphClient } from '../client.ts';
import type { Transport } from '../transport/transport.ts';
import { SpriteHandle, type HandlePlatform } from '../sdk/sprite.ts';
import { defaultBaseUrl, HandleClient, type SpritesClientOptions as AnyOptions } from '../sdk/sprites-client.ts';
import { SpriteCommand } from './command.ts';

const platform: HandlePlatform<SpriteCommand, Uint8Array, string> = {
  spawn: (target) => new SpriteCommand(target).spawn(),
  bytes: (value) => value,
  text: (value, encoding) => new TextDecoder(encoding, { ignoreBOM: true }).decode(value),
};

/** A sprite by its name, with the streams of the web. */
export class Sprite extends SpriteHandle<SpriteCommand, Uint8Array, string> {
  declare readonly client: SpritesClient;

  constructor(name: string, client: SpritesClient) {
    super(name, client, platform);
  }
}

/** Options of {@link SpritesClient}. */
export interface SpritesClientOptions extends AnyOptions {
  /** Sockets; default `webTransport()`. */
  transport?: Transport | undefined;
}

/** Sprites in the shape of the npm SDK's client. */
export class SpritesClient extends HandleClient<Sprite> {
  /** With the token of a server, or over a client that is there already. */
  constructor(tokenOrClient: string | SylphClient, options: SpritesClientOptions = {}) {
    const { baseURL: baseUrl = defaultBaseUrl, timeout: restMs, transport } = options;
    const isToken = typeof tokenOrClient === 'string';
    const timeouts = restMs === undefined ? {} : { restMs };
    const sylph = isToken ? new SylphClient({ baseUrl, token: tokenOrClient, timeouts, transport }) : tokenOrClient;
    super(sylph, isToken ? tokenOrClient : '', (name) => new Sprite(name, this));
  }
}
