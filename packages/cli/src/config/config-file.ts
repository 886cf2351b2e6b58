import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { CliError } from '../failure.ts';
import { makeDirectory } from './make-directory.ts';

/** What logging in leaves behind: servers, organizations on them, the ones in use. */
export interface Config {
  version: 1;
  current: { url: string; org: string } | null;
  servers: Record<string, { orgs: Record<string, { token: string }> }>;
}

/** Where the configuration is: `$XDG_CONFIG_HOME/sylph/config.json`, normally `~/.config/sylph/config.json`. */
export function configPath(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CONFIG_HOME'];
  return join(base !== undefined && base.startsWith('/') ? base : join(homedir(), '.config'), 'sylph', 'config.json');
}

/** Reads it; an empty one when there is none. Throws when it is damaged. */
export async function readConfig(path: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, current: null, servers: {} };
    throw new CliError(`${path} cannot be read: ${(cause as Error).message}`, {
      code: 'bad_config',
      hint: 'check its permissions',
      cause,
    });
  }
  try {
    return parseConfig(JSON.parse(text));
  } catch (cause) {
    throw new CliError(`${path} is damaged: ${(cause as Error).message}`, {
      code: 'bad_config',
      hint: 'repair it, or remove it and log in again',
      cause,
    });
  }
}

/** Replaces it in one step, readable by its owner only. Throws when it cannot be written. */
export async function writeConfig(path: string, config: Config): Promise<void> {
  try {
    makeDirectory(dirname(path), 0o700);
    await replace(path, config);
  } catch (cause) {
    throw new CliError(`${path} cannot be written: ${(cause as Error).message}`, {
      code: 'bad_config',
      hint: 'check HOME and the permissions, or use SYLPH_URL and SYLPH_TOKEN',
      cause,
    });
  }
}

async function replace(path: string, config: Config): Promise<void> {
  const next = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await using file = await open(next, 'wx', 0o600);
    await file.writeFile(`${JSON.stringify(config, undefined, 2)}\n`);
    await file.sync();
    // The umask may have taken bits away; none must be added.
    await chmod(next, 0o600);
    await rename(next, path);
  } catch (thrown) {
    await rm(next, { force: true });
    throw thrown;
  }
}

/** Whether others than the owner may read it; undefined when it does not exist. */
export async function isExposed(path: string): Promise<boolean | undefined> {
  try {
    return ((await stat(path)).mode & 0o077) !== 0;
  } catch {
    // It does not exist, or reading it will tell why not.
    return undefined;
  }
}

function parseConfig(value: unknown): Config {
  const { version, current, servers } = record(value, 'it');
  if (version !== 1) throw new Error(`version ${String(version)} is not known`);
  const parsed: Config = { version: 1, current: null, servers: {} };
  for (const [url, server] of Object.entries(record(servers, 'servers'))) {
    const orgs: Record<string, { token: string }> = {};
    for (const [org, login] of Object.entries(record(record(server, url)['orgs'], `orgs of ${url}`))) {
      orgs[org] = { token: text(record(login, org)['token'], `token of ${org}`) };
    }
    parsed.servers[url] = { orgs };
  }
  if (current !== null && current !== undefined) {
    const { url, org } = record(current, 'current');
    parsed.current = { url: text(url, 'current.url'), org: text(org, 'current.org') };
  }
  return parsed;
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is not an object`);
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new Error(`${what} is not a text`);
}
