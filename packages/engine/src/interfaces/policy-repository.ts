import type { NetworkDenial, NetworkPolicy, PrivilegesPolicy, ResourcesPolicy, SpriteId } from '@sylph/model';

/** Policies of a sprite; undefined where nobody has set one. */
export interface SpritePolicies {
  network?: NetworkPolicy | undefined;
  privileges?: PrivilegesPolicy | undefined;
  resources?: ResourcesPolicy | undefined;
}

/** Rows of policies, and of what they denied. A fork takes its parent's policies over in the transaction that makes it; all go with their sprite. */
export interface PolicyRepository {
  policies(spriteId: SpriteId): Promise<SpritePolicies>;
  /** A field that is `null` is removed, one that is absent stays. */
  setPolicies(
    spriteId: SpriteId,
    patch: { [Kind in keyof SpritePolicies]?: SpritePolicies[Kind] | null },
  ): Promise<void>;
  /** For sprites without a network policy of their own. */
  orgNetworkPolicy(orgId: string): Promise<NetworkPolicy | undefined>;
  setOrgNetworkPolicy(orgId: string, policy: NetworkPolicy | null): Promise<void>;

  /** Adds up with what is there of the same kind, target, port, protocol and reason; of a sprite the newest `keep` stay. */
  addDenials(spriteId: SpriteId, denials: readonly NetworkDenial[], keep: number): Promise<void>;
  /** The last denied first. */
  denials(spriteId: SpriteId, limit: number): Promise<NetworkDenial[]>;
}
