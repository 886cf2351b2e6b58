import type { NetworkDenial, NetworkPolicy } from '@sylph/model';
import type { SpritePolicies } from './interfaces/policy-repository.ts';
import type { OrgRow } from './interfaces/repository.ts';

/** A network policy, and whose it is. */
export interface PolicyInForce {
  policy: NetworkPolicy;
  from: 'sprite' | 'organization' | 'none';
}

/**
 * What sprites may reach, and what is kept about them besides. Nothing here wakes a sprite.
 *
 * A network policy that is set is durable, and in force where it is awake, when the promise resolves; connections it forbids are cut. Rules that this host cannot enforce are refused with `policy_unenforceable`. What a policy
 * says is checked by the caller. Missing sprites: `sprite_not_found`.
 */
export interface PolicyService {
  /** What a sprite may reach: by its own policy, else by its organization's, else everything the host's rules leave. */
  network(org: OrgRow, name: string): Promise<PolicyInForce>;
  /** Null: its organization's holds again. */
  setNetwork(org: OrgRow, name: string, policy: NetworkPolicy | null): Promise<void>;
  /** What was denied to a sprite, the last first, up to this moment. */
  denials(org: OrgRow, name: string, limit: number): Promise<NetworkDenial[]>;
  /** Undefined: it has none. */
  orgNetwork(org: OrgRow): Promise<NetworkPolicy | undefined>;
  /** Of all its sprites without one of their own. Null: none. */
  setOrgNetwork(org: OrgRow, policy: NetworkPolicy | null): Promise<void>;
  /** The kinds that nothing of the host hangs on. */
  kept(org: OrgRow, name: string): Promise<Omit<SpritePolicies, 'network'>>;
  /** A field that is `null` is removed, one that is absent stays. */
  keep(
    org: OrgRow,
    name: string,
    patch: { [Kind in keyof Omit<SpritePolicies, 'network'>]?: SpritePolicies[Kind] | null },
  ): Promise<void>;
}
