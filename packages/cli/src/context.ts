import { SylphClient } from '@sylph/client';
import { configPath, readConfig, type Config } from './config/config-file.ts';
import { findSpriteFile, type SpriteFile } from './config/sprite-file.ts';
import { resolveServer, resolveSprite, type ServerTarget, type TargetOptions } from './config/target.ts';
import { Output } from './output/output.ts';

/** What every command works with. The one place that reads the environment, the configuration and the `.sprite` file, each at most once and only when needed. */
export class Context {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly out: Output;
  readonly target: TargetOptions;
  readonly #once = new Map<string, Promise<unknown>>();

  constructor(options: { env: NodeJS.ProcessEnv; cwd: string; json: boolean; target: TargetOptions }) {
    this.env = options.env;
    this.cwd = options.cwd;
    this.out = new Output(options.json);
    this.target = options.target;
  }

  get configPath(): string {
    return configPath(this.env);
  }

  config(): Promise<Config> {
    return this.#remember('config', () => readConfig(this.configPath));
  }

  spriteFile(): Promise<SpriteFile | undefined> {
    return this.#remember('file', () => findSpriteFile(this.cwd));
  }

  /** Address and token. */
  server(): Promise<ServerTarget> {
    return this.#remember('server', async () =>
      resolveServer(this.target, this.env, await this.config(), await this.spriteFile()),
    );
  }

  client(): Promise<SylphClient> {
    return this.#remember('client', async () => {
      const { url, token } = await this.server();
      return new SylphClient({ baseUrl: url, token, userAgent: 'sylph/0.1' });
    });
  }

  /** The sprite that is meant, `named` on the command line or not. */
  async sprite(named?: string): Promise<string> {
    const needsFile =
      named === undefined && this.target.sprite === undefined && (this.env['SYLPH_SPRITE'] ?? '') === '';
    return resolveSprite(this.target, named, this.env, needsFile ? await this.spriteFile() : undefined).sprite;
  }

  #remember<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#once.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const made = make();
    this.#once.set(key, made);
    return made;
  }
}
