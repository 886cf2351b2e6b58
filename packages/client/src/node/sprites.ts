import type { SylphClient } from '../client.ts';
import { ExecError as AnyExecError } from '../sdk/errors.ts';
import { SpriteFilesystem as AnyFilesystem } from '../sdk/filesystem.ts';
import { SpriteHandle, type HandlePlatform } from '../sdk/sprite.ts';
import { defaultBaseUrl, HandleClient, type SpritesClientOptions } from '../sdk/sprites-client.ts';
import type { CallOptions } from '../sprites.ts';
import { SylphClient as NodeClient } from './client.ts';
import { SpriteCommand } from './command.ts';
import { ProxySession, type PortMapping } from './proxy.ts';

/** A command ended with another code than 0. */
export const ExecError = AnyExecError<Buffer>;
export type ExecError = AnyExecError<Buffer>;

/** The files of a sprite as `node:fs/promises` has them. */
export const SpriteFilesystem = AnyFilesystem<Buffer>;
export type SpriteFilesystem = AnyFilesystem<Buffer>;

const platform: HandlePlatform<SpriteCommand, Buffer, BufferEncoding> = {
  spawn: (target) => new SpriteCommand(target).spawn(),
  bytes: (value) => Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  text: (value, encoding) => Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(encoding),
};

/** A sprite by its name, with Node's streams and Buffers. */
export class Sprite extends SpriteHandle<SpriteCommand, Buffer, BufferEncoding> {
  declare readonly client: SpritesClient;

  constructor(name: string, client: SpritesClient) {
    super(name, client, platform);
  }

  /** A local port that leads to one inside, on loopback only; 0: any. */
  async proxyPort(
    localPort: number,
    remotePort: number,
    remoteHost?: string,
    options: CallOptions = {},
  ): Promise<ProxySession> {
    const [session] = await this.proxyPorts([{ localPort, remotePort, remoteHost }], options);
    return session as ProxySession;
  }

  /** All of them, or none. */
  async proxyPorts(mappings: readonly PortMapping[], options: CallOptions = {}): Promise<ProxySession[]> {
    const sessions: ProxySession[] = [];
    try {
      for (const mapping of mappings) {
        const session = new ProxySession({ client: this.client.sylph, sprite: this.name }, mapping);
        await session.start(options);
        sessions.push(session);
      }
      return sessions;
    } catch (error) {
      for (const session of sessions) session.close();
      throw error;
    }
  }
}

/** Options of {@link SpritesClient}. */
export type { SpritesClientOptions };

/** Sprites in the shape of the npm SDK's client. */
export class SpritesClient extends HandleClient<Sprite> {
  /** With the token of a server, or over a client that is there already. */
  constructor(tokenOrClient: string | SylphClient, options: SpritesClientOptions = {}) {
    const { baseURL: baseUrl = defaultBaseUrl, timeout: restMs } = options;
    const isToken = typeof tokenOrClient === 'string';
    const sylph = isToken
      ? new NodeClient({ baseUrl, token: tokenOrClient, timeouts: restMs === undefined ? {} : { restMs } })
      : tokenOrClient;
    super(sylph, isToken ? tokenOrClient : '', (name) => new Sprite(name, this));
  }
}
