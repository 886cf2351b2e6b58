import fs from 'node:fs/promises';
import { SylphError } from '@sylph/model';
import { utils } from './library.ts';
import { fingerprintOf } from './public-key.ts';

/** How the server shows itself. */
export interface HostKey {
  /** OpenSSH's format; a secret. */
  privateKey: string;
  /** `ssh-ed25519 AAAA…`: a line for known_hosts, without the host. */
  publicLine: string;
  fingerprint: string;
}

/** Reads the host key from `file`; the first time it is made there, readable for its owner only and durable. Clients remember it, so a file that cannot be read is an error, not a reason for a new key. */
export async function openHostKey(file: string): Promise<HostKey> {
  const text = await read(file);
  if (text !== undefined) return hostKeyOf(text, file);
  const fresh = generateKey();
  await writeDurably(file, fresh);
  return hostKeyOf(fresh, file);
}

/** Attempts at a key: all in vain happens once in 10^24 times. */
const attempts = 10;

/** A new key that can be read back: of those the library makes, some four of a thousand cannot. */
export function generateKey(): string {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const { private: text } = utils.generateKeyPairSync('ed25519', { comment: 'sylph' });
    if (!(utils.parseKey(text) instanceof Error)) return text;
  }
  throw new SylphError('internal', `no host key could be made in ${attempts} attempts`);
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await fs.readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function hostKeyOf(text: string, file: string): HostKey {
  const key = utils.parseKey(text);
  const one = Array.isArray(key) ? key[0] : key;
  if (one === undefined || one instanceof Error || !one.isPrivateKey() || one.type !== 'ssh-ed25519')
    throw new SylphError('host_unfit', `${file} does not hold an ed25519 host key`, {
      hint: 'Restore the file; without it a new key is made, of which clients will warn.',
    });
  const blob = one.getPublicSSH();
  return { privateKey: text, publicLine: `${one.type} ${blob.toString('base64')}`, fingerprint: fingerprintOf(blob) };
}

async function writeDurably(file: string, text: string): Promise<void> {
  const beside = `${file}.new`;
  await fs.rm(beside, { force: true });
  {
    await using handle = await fs.open(beside, 'wx', 0o600);
    await handle.writeFile(text);
    await handle.sync();
  }
  await fs.rename(beside, file);
  await using directory = await fs.open(file.slice(0, file.lastIndexOf('/')) || '/', 'r');
  await directory.sync();
}
