import { createHmac, randomBytes } from 'node:crypto';

/** Begins a key that is base64; the form of the Standard Webhooks specification. */
const encodedPrefix = 'whsec_';

/** A new key. */
export function newSecret(): string {
  return `${encodedPrefix}${randomBytes(24).toString('base64')}`;
}

/** Headers of a signed message, as https://www.standardwebhooks.com lays down; its libraries verify them. `id` is the same in every attempt. */
export function signedHeaders(
  message: { id: string; body: string; secret: string },
  now: Date,
): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const signature = createHmac('sha256', keyOf(message.secret))
    .update(`${message.id}.${timestamp}.${message.body}`)
    .digest('base64');
  return { 'webhook-id': message.id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

function keyOf(secret: string): Buffer {
  return secret.startsWith(encodedPrefix)
    ? Buffer.from(secret.slice(encodedPrefix.length), 'base64')
    : Buffer.from(secret);
}
