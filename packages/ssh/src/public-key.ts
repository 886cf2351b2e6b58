import { createHash } from 'node:crypto';
import { SylphError } from '@sylph/model';
import type { ParsedKey } from 'ssh2';
import { utils } from './library.ts';

/** Kinds of keys that let in. */
const types = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];
const minRsaBits = 2_048;

/** A public key as people have it in a file. */
export interface PublicKey {
  /** Such as `ssh-ed25519`. */
  type: string;
  /** As ssh sends it, base64. */
  base64: string;
  /** `SHA256:…`, as `ssh-keygen -l` shows it. */
  fingerprint: string;
  /** What follows the key in its line; may be empty. */
  comment: string;
}

/** `SHA256:…` of a key as ssh sends it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** Reads a line of an `authorized_keys` file or of an `id_….pub`. Throws `invalid_request`, which says why, for anything else than one plain public key of a kind that lets in. */
export function parsePublicKey(text: string): PublicKey {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (/-----BEGIN .*PRIVATE KEY-----/.test(text))
    throw refused('this is a private key, which nobody should be given', 'Give the file that ends in .pub.');
  const [line = ''] = lines;
  if (lines.length !== 1) throw refused(`one line with one key is wanted, not ${lines.length}`);
  const [type = '', base64 = '', ...comment] = line.trim().split(/[ \t]+/);
  if (!types.includes(type))
    throw refused(
      `${JSON.stringify(type.slice(0, 64))} is not a kind of key that is taken: ${types.join(', ')}, without options in front`,
      'ssh-keygen -t ed25519 makes a key.',
    );
  const key = parsed(Buffer.from(base64, 'base64'));
  if (key === undefined || key.type !== type) throw refused('the key is damaged: it does not hold what its line says');
  if (type === 'ssh-rsa' && rsaBits(key) < minRsaBits)
    throw refused(
      `the RSA key has ${rsaBits(key)} bits, fewer than ${minRsaBits}`,
      'ssh-keygen -t ed25519 makes a key.',
    );
  const blob = key.getPublicSSH();
  return { type, base64: blob.toString('base64'), fingerprint: fingerprintOf(blob), comment: comment.join(' ') };
}

/** A key as ssh sends it; undefined when it is none. */
export function parsed(blob: Buffer): ParsedKey | undefined {
  const key = utils.parseKey(blob);
  const one = Array.isArray(key) ? key[0] : key;
  return one === undefined || one instanceof Error ? undefined : one;
}

/** Length of the modulus, the third of the strings an RSA key is sent as (RFC 4253, section 6.6). */
function rsaBits(key: ParsedKey): number {
  const blob = key.getPublicSSH();
  const exponentAt = 4 + blob.readUInt32BE(0);
  const modulusAt = exponentAt + 4 + blob.readUInt32BE(exponentAt);
  const modulus = blob.subarray(modulusAt + 4, modulusAt + 4 + blob.readUInt32BE(modulusAt));
  const first = modulus.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (modulus.length - first) * 8 - Math.clz32(modulus[first] as number) + 24;
}

function refused(message: string, hint?: string): SylphError {
  return new SylphError('invalid_request', message, hint === undefined ? {} : { hint });
}
