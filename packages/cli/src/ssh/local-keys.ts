import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CliError, usageError } from '../failure.ts';

/** Where ssh-keygen puts keys, the kinds it makes today first. */
const usual = ['id_ed25519.pub', 'id_ecdsa.pub', 'id_rsa.pub'];
/** A key agent that does not answer has no keys. */
const agentWaitMs = 3_000;

/** A public key of this machine. */
export interface LocalKey {
  /** File, or `ssh-agent`. */
  from: string;
  line: string;
  fingerprint: string;
}

/** Public keys ssh would offer: the usual files, and those of a key agent. */
export async function localKeys(env: NodeJS.ProcessEnv): Promise<LocalKey[]> {
  return [...(await fileKeys(env)), ...(await agentKeys(env))];
}

/** The key to register when none is named. Throws when there is none, or several to choose from. */
export async function ownKey(env: NodeJS.ProcessEnv): Promise<LocalKey> {
  const keys = await fileKeys(env);
  const [key] = keys;
  if (key === undefined)
    throw new CliError('there is no public key in ~/.ssh', {
      code: 'not_found',
      hint: 'make one: ssh-keygen -t ed25519; or name a file: sylph ssh-key add FILE',
    });
  if (keys.length > 1)
    throw usageError(
      `there are several public keys: ${keys.map(({ from }) => from).join(', ')}`,
      'name the one: sylph ssh-key add FILE',
    );
  return key;
}

/** `SHA256:…` of a key's line; undefined when it is none. */
export function fingerprintOf(line: string): string | undefined {
  const blob = Buffer.from(line.trim().split(/\s+/)[1] ?? '', 'base64');
  if (blob.length === 0) return undefined;
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

async function fileKeys(env: NodeJS.ProcessEnv): Promise<LocalKey[]> {
  const found = await Promise.all(
    usual.map(async (name) => {
      const from = join(env['HOME'] ?? homedir(), '.ssh', name);
      // Most people have one of them.
      const line = await readFile(from, 'utf8').catch(() => '');
      return keyOf(from, line);
    }),
  );
  return found.filter((key) => key !== undefined);
}

async function agentKeys(env: NodeJS.ProcessEnv): Promise<LocalKey[]> {
  if ((env['SSH_AUTH_SOCK'] ?? '') === '') return [];
  try {
    const { stdout } = await promisify(execFile)('ssh-add', ['-L'], { env, timeout: agentWaitMs });
    return stdout
      .split('\n')
      .map((line) => keyOf('ssh-agent', line))
      .filter((key) => key !== undefined);
  } catch {
    // It is empty or not there, which ssh sees by itself.
    return [];
  }
}

function keyOf(from: string, line: string): LocalKey | undefined {
  const fingerprint = fingerprintOf(line);
  return fingerprint === undefined ? undefined : { from, line: line.trim(), fingerprint };
}
