import type { CreatedLink, CreateLinkRequest, Link } from '@sylph/model';
import { segment, type Http } from './http.ts';
import { isObject } from './json.ts';
import { unexpected, type CallOptions } from './sprites.ts';

/** What a preview link is to be. */
export interface LinkRequest {
  /** Port of the sprite; absent: where its URL leads. */
  port?: number | undefined;
  /** Life in seconds, default 7 days; null: until it is revoked. */
  expiresInS?: number | null | undefined;
  /** Asked of whoever opens it. */
  password?: string | undefined;
  description?: string | undefined;
}

/** Preview links of a sprite: who has the URL opens the sprite without an account. None of it wakes the sprite. */
export class Links {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Its URL is told this once. */
  async create(sprite: string, request: LinkRequest = {}, options: CallOptions = {}): Promise<CreatedLink> {
    const { port, expiresInS, password, description } = request;
    const body: CreateLinkRequest = { port, expires_in_s: expiresInS, password, description };
    const answer = await this.#http.json(base(sprite), { method: 'POST', body, ...options });
    if (!isObject(answer) || typeof answer['url'] !== 'string') throw unexpected('a link');
    return answer as unknown as CreatedLink;
  }

  /** Newest first, without those that have expired. */
  async list(sprite: string, options: CallOptions = {}): Promise<Link[]> {
    const answer = await this.#http.json(base(sprite), options);
    if (!isObject(answer) || !Array.isArray(answer['links'])) throw unexpected('a list of links');
    return answer['links'] as Link[];
  }

  /** At once, also for browsers that have opened it. */
  async revoke(sprite: string, id: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base(sprite)}/${segment(id)}`, { method: 'DELETE', ...options });
  }
}

function base(sprite: string): string {
  return `/v1/sprites/${segment(sprite)}/links`;
}
