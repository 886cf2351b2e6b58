import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { EdgeFailure } from './failure.ts';

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number }, Buffer>(scrypt);
/** 16 MiB and some 50 ms each: slow for who guesses, bearable for who knows. */
const cost = { N: 16_384, r: 8, p: 1 };
const saltBytes = 16;
const hashBytes = 32;
/** Hashes computed at once; more are refused rather than queued. */
const maxParallel = 4;
let running = 0;

/** `scrypt$salt$hash`, both base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  return ['scrypt', salt.toString('base64url'), (await slowHash(password, salt)).toString('base64url')].join('$');
}

/** Whether a password is the one that was hashed. Throws `rate_limited` while too many are being checked. */
export async function isPassword(password: string, hashed: string): Promise<boolean> {
  const [, salt = '', hash = ''] = hashed.split('$');
  const right = Buffer.from(hash, 'base64url');
  const given = await slowHash(password, Buffer.from(salt, 'base64url'));
  return right.length === given.length && timingSafeEqual(right, given);
}

async function slowHash(password: string, salt: Buffer): Promise<Buffer> {
  if (running >= maxParallel)
    throw new EdgeFailure('rate_limited', 'many passwords are being checked just now', { retryAfterS: 2 });
  running += 1;
  try {
    return await derive(password.normalize('NFC'), salt, hashBytes, cost);
  } finally {
    running -= 1;
  }
}
