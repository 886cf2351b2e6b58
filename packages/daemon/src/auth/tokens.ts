import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import type { OrgRow, Repository, TokenRow } from '@sylph/engine';
import { orgSlug, SylphError } from '@sylph/model';

/** Random bytes of a token's secret. */
const secretBytes = 32;
/** A token's last use is written at most this often. */
const touchIntervalMs = 60_000;
/** Longest token text looked at; real ones have some 160 characters. */
const maxTokenLength = 512;

/** Who makes a request. */
export interface Caller {
  org: OrgRow;
  tokenId: string;
}

/** What a new token is for. `expiresAt` is ISO 8601; null: it does not expire. */
export interface NewToken {
  org: string;
  description: string;
  expiresAt: string | null;
}

/**
 * Makes a token of an organization, which is made too when it does not exist. Returns the token's text, `org/org-id/token-id/secret`: the only time it can be seen, for only a hash is kept.
 * Throws `invalid_request` for an organization nobody can be called.
 */
export async function createToken(repository: Repository, { org, description, expiresAt }: NewToken): Promise<string> {
  const slug = orgSlug.safeParse(org);
  if (!slug.success)
    throw new SylphError('invalid_request', slug.error.issues.map((issue) => issue.message).join('; '));
  const { id: orgId } = await repository.ensureOrg(slug.data);
  const secret = randomBytes(secretBytes).toString('base64url');
  const id = randomUUID();
  await repository.insertToken({
    id,
    orgId,
    secretHash: hash(secret),
    description,
    createdAt: new Date().toISOString(),
    expiresAt,
    lastUsedAt: null,
    revokedAt: null,
  });
  return [slug.data, orgId, id, secret].join('/');
}

/** Who a token belongs to; undefined when it is malformed, unknown, revoked, expired or its secret is wrong. Which of these it is stays untold. */
export async function authenticate(repository: Repository, text: string): Promise<Caller | undefined> {
  if (text.length > maxTokenLength) return undefined;
  const [slug, orgId, tokenId, secret, ...more] = text.split('/');
  if (slug === undefined || orgId === undefined || tokenId === undefined || secret === undefined || more.length > 0)
    return undefined;
  const token = await repository.token(tokenId);
  // An unknown token is compared too, so that its answer takes as long as a wrong secret's.
  const equal = timingSafeEqual(Buffer.from(hash(secret), 'hex'), Buffer.from(token?.secretHash ?? hash(''), 'hex'));
  const now = Date.now();
  if (!isValid(token, now) || !equal || token.orgId !== orgId) return undefined;
  const org = await repository.org(orgId);
  if (org === undefined || org.slug !== slug) return undefined;
  if (token.lastUsedAt === null || Date.parse(token.lastUsedAt) <= now - touchIntervalMs)
    await repository.touchToken(tokenId, new Date(now).toISOString());
  return { org, tokenId };
}

/** Whether a token that let somebody in would do so still. */
export async function isTokenValid(repository: Repository, id: string): Promise<boolean> {
  return isValid(await repository.token(id), Date.now());
}

/** Known, not revoked, not expired. */
function isValid(token: TokenRow | undefined, nowMs: number): token is TokenRow {
  if (token === undefined || token.revokedAt !== null) return false;
  return token.expiresAt === null || Date.parse(token.expiresAt) > nowMs;
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
