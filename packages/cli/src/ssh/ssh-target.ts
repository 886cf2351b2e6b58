import { createHash, randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SshKeyList } from '@sylph/model';
import { makeDirectory } from '../config/make-directory.ts';
import type { Context } from '../context.ts';
import { CliError, usageError } from '../failure.ts';

/** What the server's key is known by in our file of known hosts. */
const alias = 'sylph';

/** How ssh reaches the sprites of a server. */
export interface SshTarget {
  host: string;
  port: number;
  /** Holds the server's key and nothing else. */
  knownHostsFile: string;
  /** What ssh logs in as for a sprite. */
  user(sprite: string): string;
}

/** Finds out how sprites are reached by SSH, and pins the server's key, which comes over the API. `via`: HOST[:PORT] where that is another way than the API's. Throws when the server has no SSH, or only for its own machine. */
export async function sshTarget(context: Context, list: SshKeyList, via: string | undefined): Promise<SshTarget> {
  const { url, org } = await context.server();
  if (list.server === null)
    throw new CliError(`${url} serves no SSH`, { code: 'no_ssh', hint: 'its setting ssh-listen switches it on' });
  const { host, port } = via === undefined ? reachable(list.server.listen, url) : parseVia(via, list.server.listen);
  const knownHostsFile = join(dirname(context.configPath), 'ssh', `${shortHash(url)}.known_hosts`);
  await write(knownHostsFile, `${alias} ${list.server.host_key}\n`);
  return { host, port, knownHostsFile, user: (sprite) => (org === undefined ? sprite : `${sprite}.${org}`) };
}

/** Settings of ssh for it. */
export function sshSettings(target: SshTarget): [string, string][] {
  return [
    ['HostName', target.host],
    ['Port', String(target.port)],
    ['HostKeyAlias', alias],
    ['UserKnownHostsFile', target.knownHostsFile],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', 'yes'],
  ];
}

/** What a sprite is called in what ssh is told. */
export function hostName(sprite: string): string {
  return `sylph-${sprite}`;
}

/** A value as ssh reads it in its configuration and behind `-o`. */
export function quoted(value: string): string {
  return /\s/.test(value) ? `"${value}"` : value;
}

/** A few letters that stand for a server. */
export function shortHash(url: string): string {
  return createHash('sha256').update(url).digest('hex').slice(0, 12);
}

function reachable(listen: string, url: string): { host: string; port: number } {
  const { host, port } = split(listen);
  const api = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (host === '0.0.0.0' || host === '::') return { host: api, port };
  if (isLoopback(host) && !isLoopback(api))
    throw new CliError(`SSH listens on ${listen}, which only ${api} itself reaches`, {
      code: 'no_ssh',
      hint: 'set ssh-listen of sylphd to an address of its network, or name another way with --via HOST:PORT',
    });
  return { host, port };
}

function parseVia(via: string, listen: string): { host: string; port: number } {
  const found = /^(\[[^\]]+\]|[^:\s]+)(?::(\d{1,5}))?$/.exec(via);
  if (found === null) throw usageError(`--via is HOST or HOST:PORT, not ${via}`);
  const [, host = '', port] = found;
  return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? split(listen).port : Number(port) };
}

function split(listen: string): { host: string; port: number } {
  const at = listen.lastIndexOf(':');
  return { host: listen.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(listen.slice(at + 1)) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** Replaces a file in one step, unless it says so already. */
export async function write(path: string, text: string, mode = 0o600): Promise<boolean> {
  // Missing, or to be replaced: either way it is written.
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return false;
  makeDirectory(dirname(path), 0o700);
  const next = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(next, text, { mode, flag: 'wx' });
    await rename(next, path);
  } catch (thrown) {
    await rm(next, { force: true });
    throw thrown;
  }
  return true;
}
