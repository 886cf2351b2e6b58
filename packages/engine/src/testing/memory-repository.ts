import { randomUUID } from 'node:crypto';
import {
  nameTaken,
  SylphError,
  type CheckpointId,
  type NetworkDenial,
  type NetworkPolicy,
  type SpriteId,
} from '@sylph/model';
import type { PolicyRepository, SpritePolicies } from '../interfaces/policy-repository.ts';
import type {
  CheckpointRow,
  DeliveryRow,
  IdempotencyRow,
  OrgRow,
  Repository,
  SpriteRow,
  TokenRow,
} from '../interfaces/repository.ts';

/** {@link Repository} in memory: the rows of sprites and checkpoints, which are what the engine uses. */
export class MemoryRepository implements Repository {
  readonly #orgs = new Map<string, OrgRow>();
  readonly #sprites = new Map<SpriteId, SpriteRow>();
  /** In order of insertion. */
  #checkpoints: CheckpointRow[] = [];

  readonly policies = new MemoryPolicies();
  readonly edge = nothing;
  readonly sshKeys = nothing;

  async [Symbol.asyncDispose](): Promise<void> {}

  async orgBySlug(slug: string): Promise<OrgRow | undefined> {
    return [...this.#orgs.values()].find((org) => org.slug === slug);
  }

  async org(id: string): Promise<OrgRow | undefined> {
    return this.#orgs.get(id);
  }

  async ensureOrg(slug: string): Promise<OrgRow> {
    const known = await this.orgBySlug(slug);
    if (known) return known;
    const org: OrgRow = { id: randomUUID(), slug, urlSuffix: 'abc123', createdAt: new Date().toISOString() };
    this.#orgs.set(org.id, org);
    return org;
  }

  async insertSprites(rows: readonly Omit<SpriteRow, 'uid'>[], uidBase: number): Promise<SpriteRow[]> {
    const all = [...this.#sprites.values()];
    const uids = new Set(all.map(({ uid }) => uid));
    const names = new Set(all.map(({ orgId, name }) => `${orgId} ${name}`));
    const made = rows.map((row) => {
      const key = `${row.orgId} ${row.name}`;
      if (names.has(key)) throw nameTaken(row.name);
      let uid = uidBase;
      while (uids.has(uid)) uid++;
      names.add(key);
      uids.add(uid);
      return { ...row, uid };
    });
    for (const row of made) {
      this.#sprites.set(row.id, row);
      if (row.parentSpriteId !== null) this.policies.inherit(row.id, row.parentSpriteId);
    }
    return made;
  }

  async sprite(id: SpriteId): Promise<SpriteRow | undefined> {
    return this.#sprites.get(id);
  }

  async spriteByName(orgId: string, name: string): Promise<SpriteRow | undefined> {
    return [...this.#sprites.values()].find((row) => row.orgId === orgId && row.name === name);
  }

  async listSprites(query: { orgId: string; prefix?: string; after?: string; limit: number }): Promise<SpriteRow[]> {
    return [...this.#sprites.values()]
      .filter(
        (row) => row.orgId === query.orgId && row.name.startsWith(query.prefix ?? '') && row.name > (query.after ?? ''),
      )
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .slice(0, query.limit);
  }

  async countSprites(orgId?: string): Promise<Record<SpriteRow['lastState'], number>> {
    const counts = { new: 0, awake: 0, memory: 0, disk: 0, failed: 0 };
    for (const row of this.#sprites.values()) if (orgId === undefined || row.orgId === orgId) counts[row.lastState]++;
    return counts;
  }

  async *spriteIds(): AsyncIterable<SpriteId> {
    yield* this.#sprites.keys();
  }

  async awakeSprites(): Promise<SpriteRow[]> {
    return [...this.#sprites.values()].filter((row) => row.lastState === 'awake');
  }

  async updateSprite(id: SpriteId, patch: Partial<SpriteRow>): Promise<SpriteRow> {
    const row = { ...this.#found(id), ...patch };
    this.#sprites.set(id, row);
    return row;
  }

  async takeCounter(id: SpriteId, counter: 'nextCheckpoint' | 'nextSession', count = 1): Promise<number> {
    const row = this.#found(id);
    this.#sprites.set(id, { ...row, [counter]: row[counter] + count });
    return row[counter];
  }

  async removeSprite(id: SpriteId): Promise<void> {
    this.#sprites.delete(id);
    this.#checkpoints = this.#checkpoints.filter((row) => row.spriteId !== id);
  }

  async insertCheckpoint(row: CheckpointRow): Promise<void> {
    if (this.#checkpoints.some(({ spriteId, id }) => spriteId === row.spriteId && id === row.id))
      throw new Error(`${row.id} exists`);
    this.#checkpoints.push(row);
  }

  async checkpoint(spriteId: SpriteId, id: CheckpointId): Promise<CheckpointRow | undefined> {
    return this.#checkpoints.find((row) => row.spriteId === spriteId && row.id === id);
  }

  async checkpoints(spriteId: SpriteId): Promise<CheckpointRow[]> {
    return this.#checkpoints.filter((row) => row.spriteId === spriteId).toReversed();
  }

  async updateCheckpoint(spriteId: SpriteId, id: CheckpointId, patch: Partial<CheckpointRow>): Promise<void> {
    this.#checkpoints = this.#checkpoints.map((row) =>
      row.spriteId === spriteId && row.id === id ? { ...row, ...patch } : row,
    );
  }

  async removeCheckpoint(spriteId: SpriteId, id: CheckpointId): Promise<void> {
    this.#checkpoints = this.#checkpoints.filter((row) => row.spriteId !== spriteId || row.id !== id);
  }

  orgBySuffix = notOfTheEngine<OrgRow | undefined>;
  insertToken = notOfTheEngine;
  token = notOfTheEngine<TokenRow | undefined>;
  tokens = notOfTheEngine<TokenRow[]>;
  revokeToken = notOfTheEngine<boolean>;
  touchToken = notOfTheEngine;
  insertDelivery = notOfTheEngine;
  nextDeliveries = notOfTheEngine<DeliveryRow[]>;
  updateDelivery = notOfTheEngine;
  removeDelivery = notOfTheEngine;
  idempotent = notOfTheEngine<IdempotencyRow | undefined>;
  insertIdempotent = notOfTheEngine;
  pruneIdempotent = notOfTheEngine;

  #found(id: SpriteId): SpriteRow {
    const row = this.#sprites.get(id);
    if (!row) throw new SylphError('sprite_not_found', 'sprite not found');
    return row;
  }
}

/** {@link PolicyRepository} in memory. */
class MemoryPolicies implements PolicyRepository {
  readonly #sprites = new Map<string, SpritePolicies>();
  readonly #orgs = new Map<string, NetworkPolicy>();
  readonly #denials = new Map<string, NetworkDenial[]>();

  async policies(spriteId: SpriteId): Promise<SpritePolicies> {
    return this.#sprites.get(spriteId) ?? {};
  }

  async setPolicies(
    spriteId: SpriteId,
    patch: { [Kind in keyof SpritePolicies]?: SpritePolicies[Kind] | null },
  ): Promise<void> {
    const kept = Object.entries({ ...this.#sprites.get(spriteId), ...patch }).filter(([, value]) => value !== null);
    this.#sprites.set(spriteId, Object.fromEntries(kept));
  }

  async orgNetworkPolicy(orgId: string): Promise<NetworkPolicy | undefined> {
    return this.#orgs.get(orgId);
  }

  async setOrgNetworkPolicy(orgId: string, policy: NetworkPolicy | null): Promise<void> {
    if (policy === null) this.#orgs.delete(orgId);
    else this.#orgs.set(orgId, policy);
  }

  inherit(child: SpriteId, parent: string): void {
    const policies = this.#sprites.get(parent);
    if (policies) this.#sprites.set(child, policies);
  }

  /** Appended only: what adds up is told by the suite of the real one. */
  async addDenials(spriteId: SpriteId, denials: readonly NetworkDenial[], keep: number): Promise<void> {
    this.#denials.set(spriteId, [...denials, ...(this.#denials.get(spriteId) ?? [])].slice(0, keep));
  }

  async denials(spriteId: SpriteId, limit: number): Promise<NetworkDenial[]> {
    return (this.#denials.get(spriteId) ?? []).slice(0, limit);
  }
}

/** Rows that the engine has no need of. */
const nothing = new Proxy({} as never, { get: () => notOfTheEngine });

async function notOfTheEngine<Answer = void>(): Promise<Answer> {
  throw new Error('the engine does not ask for this');
}
