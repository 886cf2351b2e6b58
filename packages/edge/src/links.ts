import { createHash, timingSafeEqual } from 'node:crypto';
import type { LinkRow } from '@sylph/engine';
import type { Attempts } from './attempts.ts';
import { setCookie } from './cookies.ts';
import type { ResolvedEdgeDeps } from './deps.ts';
import type { Found } from './directory.ts';
import { EdgeFailure } from './failure.ts';
import { readForm } from './form.ts';
import { passwordPage, redirect, type Page } from './pages.ts';
import { isPassword } from './passwords.ts';
import type { Signer } from './signed.ts';
import type { Visit } from './visit.ts';

/** A cookie of a link lasts so long at most; the link is looked at with every request. */
const longestMs = 30 * 24 * 3_600_000;
const pathPattern = /^\/\.sylph\/link\/([A-Za-z0-9-]{1,64})\.([A-Za-z0-9_-]{1,128})\/?$/;

/** Path of a link's URL below its host. */
export function linkPath(id: string, secret: string): string {
  return `/.sylph/link/${id}.${secret}`;
}

/** SHA-256, hex: what is kept of a link's secret. */
export function hashLinkSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Whether a link has not expired. */
export function linkStands({ expiresAt }: Pick<LinkRow, 'expiresAt'>, nowMs = Date.now()): boolean {
  return expiresAt === null || Date.parse(expiresAt) > nowMs;
}

/** Opens preview links: who has the URL, and the password where there is one, gets a cookie for this host. */
export class Links {
  readonly #deps: ResolvedEdgeDeps;
  readonly #signer: Signer;
  readonly #attempts: Attempts;

  constructor(deps: ResolvedEdgeDeps, parts: { signer: Signer; attempts: Attempts }) {
    this.#deps = deps;
    this.#signer = parts.signer;
    this.#attempts = parts.attempts;
  }

  /** Throws `link_not_found` for all that does not stand here, of whatever reason. */
  async open(visit: Visit, found: Found | undefined): Promise<Page> {
    const { request, client, host, path } = visit;
    const link = await this.#find(path.split('?', 1)[0] as string, found);
    const { passwordHash } = link;
    if (passwordHash === null) {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        throw new EdgeFailure('method_not_allowed', 'a link is opened with GET');
      return this.#let(link, client.scheme === 'https');
    }
    if (request.method !== 'POST') return passwordPage({});
    const form = await readForm(request, host);
    const retryAfterS = this.#attempts.retryAfterS(client.address);
    if (retryAfterS > 0) throw new EdgeFailure('rate_limited', 'there were too many wrong passwords', { retryAfterS });
    if (await isPassword(form.get('password') ?? '', passwordHash)) return this.#let(link, client.scheme === 'https');
    this.#attempts.wrong(client.address);
    return passwordPage({ problem: 'This is not the password.', status: 401 });
  }

  #let(link: LinkRow, secure: boolean): Page {
    const ends = link.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(link.expiresAt);
    const until = Math.min(ends, Date.now() + longestMs);
    const ticket = this.#signer.sign({ kind: 'link', sprite: link.spriteId, id: link.id, until });
    const maxAgeS = Math.max(1, Math.floor((until - Date.now()) / 1000));
    return redirect('/', [setCookie('sylph-edge', ticket, { secure, maxAgeS })], 303);
  }

  async #find(path: string, found: Found | undefined): Promise<LinkRow> {
    const [, id = '', secret = ''] = pathPattern.exec(path) ?? [];
    const link = id === '' ? undefined : await this.#deps.repository.edge.link(id);
    const given = Buffer.from(hashLinkSecret(secret), 'hex');
    const right = timingSafeEqual(given, Buffer.from(link?.secretHash ?? hashLinkSecret(''), 'hex'));
    const stands =
      link !== undefined &&
      right &&
      link.spriteId === found?.view.row.id &&
      link.port === found.port &&
      linkStands(link);
    if (stands) return link;
    throw new EdgeFailure('link_not_found', 'this link is over or was revoked, or never was one', {
      hint: 'Ask who gave it to you for a new one.',
    });
  }
}
