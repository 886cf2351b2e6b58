import type { SpriteDomain } from '@sylph/model';
import { segment, type Http } from './http.ts';
import { isObject } from './json.ts';
import { unexpected, type CallOptions } from './sprites.ts';

/** Domains of one's own that lead to a sprite. None of it wakes the sprite. */
export class Domains {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Lower case. Throws `domain_taken` where it leads to a sprite already. */
  async add(sprite: string, domain: string, options: CallOptions = {}): Promise<SpriteDomain> {
    const answer = await this.#http.json(base(sprite), { method: 'POST', body: { domain }, ...options });
    if (!isObject(answer) || typeof answer['domain'] !== 'string') throw unexpected('a domain');
    return answer as unknown as SpriteDomain;
  }

  /** By name. */
  async list(sprite: string, options: CallOptions = {}): Promise<SpriteDomain[]> {
    const answer = await this.#http.json(base(sprite), options);
    if (!isObject(answer) || !Array.isArray(answer['domains'])) throw unexpected('a list of domains');
    return answer['domains'] as SpriteDomain[];
  }

  async remove(sprite: string, domain: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base(sprite)}/${segment(domain)}`, { method: 'DELETE', ...options });
  }
}

function base(sprite: string): string {
  return `/v1/sprites/${segment(sprite)}/domains`;
}
