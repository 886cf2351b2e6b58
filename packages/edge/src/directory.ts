import type { OrgRow, SpriteView } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { ResolvedEdgeDeps } from './deps.ts';
import { placeOf, type Place } from './host.ts';

/** Organizations remembered by the suffix of their URLs. */
const maxOrgs = 1_000;

/** A sprite that a Host header names. */
export interface Found {
  view: SpriteView;
  /** Null: where its URL leads. */
  port: number | null;
}

/** Finds sprites by names of hosts. */
export class Directory {
  readonly #deps: ResolvedEdgeDeps;
  readonly #orgs = new Map<string, OrgRow>();

  constructor(deps: ResolvedEdgeDeps) {
    this.#deps = deps;
  }

  placeOf(hostname: string): Place {
    return placeOf(hostname, this.#deps.domain);
  }

  /** Undefined: there is none. */
  async find(place: Place): Promise<Found | undefined> {
    if (place.kind === 'sprite') {
      const org = await this.#org(place.urlSuffix);
      if (org === undefined) return undefined;
      const view = await this.view(org, place.name);
      return view && { view, port: place.port };
    }
    if (place.kind !== 'domain') return undefined;
    const { repository } = this.#deps;
    const row = await repository.edge.domain(place.domain);
    const sprite = row && (await repository.sprite(row.spriteId));
    const org = sprite && (await repository.org(sprite.orgId));
    const view = sprite && org && (await this.view(org, sprite.name));
    return view && { view, port: null };
  }

  /** Whether a certificate may be made for a name: of a sprite, or the login page's. */
  async isOurs(hostname: string): Promise<boolean> {
    const place = this.placeOf(hostname);
    return place.kind === 'login' || (await this.find(place)) !== undefined;
  }

  /** Organizations are never renamed or removed, so one that was found stays right. */
  async #org(urlSuffix: string): Promise<OrgRow | undefined> {
    const known = this.#orgs.get(urlSuffix);
    if (known !== undefined) return known;
    const org = await this.#deps.repository.orgBySuffix(urlSuffix);
    if (org === undefined) return undefined;
    if (this.#orgs.size >= maxOrgs) this.#orgs.clear();
    this.#orgs.set(urlSuffix, org);
    return org;
  }

  /** A sprite as it is now. Undefined: there is none. */
  async view(org: SpriteView['org'], name: string): Promise<SpriteView | undefined> {
    try {
      return await this.#deps.service.get(org, name);
    } catch (error) {
      if (error instanceof SylphError && error.code === 'sprite_not_found') return undefined;
      throw error;
    }
  }
}
