import { CliError, usageError } from '../failure.ts';
import type { Config } from './config-file.ts';
import type { SpriteFile } from './sprite-file.ts';

/** Address of a daemon on this machine that was started without options. */
export const defaultUrl = 'http://127.0.0.1:7777';

/** What the person said on the command line. */
export interface TargetOptions {
  url?: string | undefined;
  org?: string | undefined;
  sprite?: string | undefined;
}

/** A server, and who we are there. */
export interface ServerTarget {
  url: string;
  token: string;
  /** Undefined when only the token knows. */
  org: string | undefined;
  /** Where the token came from, for `doctor`. */
  tokenFrom: string;
}

/** The server address: the option, the environment, the login, this machine. */
export function resolveUrl(
  options: TargetOptions,
  env: NodeJS.ProcessEnv,
  config: Config,
): { url: string; from: string } {
  if (options.url !== undefined) return { url: trimmed(options.url), from: '--url' };
  for (const name of ['SYLPH_URL', 'SPRITES_API_URL']) {
    const value = env[name];
    if (value !== undefined && value !== '') return { url: trimmed(value), from: name };
  }
  const wanted = options.org === undefined ? undefined : serverOfOrg(config, options.org);
  if (wanted !== undefined) return { url: wanted, from: 'login' };
  if (config.current !== null) return { url: config.current.url, from: 'login' };
  return { url: defaultUrl, from: 'default' };
}

/**
 * Server and token. `SYLPH_TOKEN` wins; then the login at that address; `SPRITE_TOKEN`, which may be another service's, counts only where there is no login or
 * the address came with it from `SPRITES_API_URL`.
 */
export function resolveServer(
  options: TargetOptions,
  env: NodeJS.ProcessEnv,
  config: Config,
  file: SpriteFile | undefined,
): ServerTarget {
  const { url, from } = resolveUrl(options, env, config);
  const asked = options.org ?? (env['SYLPH_ORG'] || undefined);
  const fromEnv = (name: string): ServerTarget | undefined => {
    const token = env[name];
    return token === undefined || token === '' ? undefined : { url, token, org: undefined, tokenFrom: name };
  };
  const own = fromEnv('SYLPH_TOKEN');
  if (own !== undefined) return own;
  const foreign = fromEnv('SPRITE_TOKEN');
  if (foreign !== undefined && from === 'SPRITES_API_URL') return foreign;

  const orgs = config.servers[url]?.orgs ?? {};
  const known = Object.keys(orgs);
  const current = config.current?.url === url ? config.current.org : known[0];
  // A `.sprite` file may name an organization of another server; then it does not speak about this one.
  const filed = file?.organization !== undefined && known.includes(file.organization) ? file.organization : undefined;
  const org = asked ?? filed ?? current;
  const login = org === undefined ? undefined : orgs[org];
  if (org !== undefined && login !== undefined) return { url, token: login.token, org, tokenFrom: 'login' };
  if (foreign !== undefined) return foreign;
  if (asked !== undefined && known.length > 0)
    throw new CliError(`you are not logged in to the organization ${asked} at ${url}`, {
      code: 'unauthenticated',
      hint: `known: ${known.join(', ')}`,
    });
  throw new CliError(`you are not logged in at ${url}`, { code: 'unauthenticated', hint: `run: sylph login ${url}` });
}

/** The sprite: named, `SYLPH_SPRITE`, or the `.sprite` file's. */
export function resolveSprite(
  options: TargetOptions,
  named: string | undefined,
  env: NodeJS.ProcessEnv,
  file: SpriteFile | undefined,
): { sprite: string; from: string } {
  if (named !== undefined && options.sprite !== undefined && named !== options.sprite)
    throw usageError(`two sprites are named: ${named} and ${options.sprite}`);
  const said = named ?? options.sprite;
  if (said !== undefined) return { sprite: said, from: 'command line' };
  const set = env['SYLPH_SPRITE'];
  if (set !== undefined && set !== '') return { sprite: set, from: 'SYLPH_SPRITE' };
  if (file !== undefined) return { sprite: file.sprite, from: file.path };
  throw usageError('no sprite is named', 'name one with -s NAME, or choose one for this directory: sylph use NAME');
}

function serverOfOrg(config: Config, org: string): string | undefined {
  if (config.current !== null && config.servers[config.current.url]?.orgs[org] !== undefined) return config.current.url;
  const urls = Object.keys(config.servers).filter((url) => config.servers[url]?.orgs[org] !== undefined);
  if (urls.length > 1)
    throw usageError(
      `you know the organization ${org} on several servers: ${urls.join(', ')}`,
      'choose one with --url',
    );
  return urls[0];
}

function trimmed(url: string): string {
  return url.replace(/\/+$/, '');
}
