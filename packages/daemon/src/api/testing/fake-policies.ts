import type { OrgRow, PolicyInForce, PolicyService, SpritePolicies, SpriteView } from '@sylph/engine';
import { type NetworkDenial, type NetworkPolicy, SylphError } from '@sylph/model';

/** Policies of a fake engine: kept in memory, enforced by nobody. */
export class FakePolicies implements PolicyService {
  readonly #sprites = new Map<string, SpritePolicies>();
  readonly #orgs = new Map<string, NetworkPolicy>();
  readonly #get: (org: OrgRow, name: string) => Promise<SpriteView>;
  /** What every sprite was denied. */
  recorded: NetworkDenial[] = [];
  /** Why this host enforces nothing, if so. */
  obstacle: string | undefined;

  constructor(get: (org: OrgRow, name: string) => Promise<SpriteView>) {
    this.#get = get;
  }

  async network(org: OrgRow, name: string): Promise<PolicyInForce> {
    const { network } = await this.#of(org, name);
    if (network) return { policy: network, from: 'sprite' };
    const policy = this.#orgs.get(org.id);
    return policy ? { policy, from: 'organization' } : { policy: { rules: [] }, from: 'none' };
  }

  async setNetwork(org: OrgRow, name: string, policy: NetworkPolicy | null): Promise<void> {
    const policies = await this.#of(org, name);
    this.#assertEnforceable(policy);
    policies.network = policy ?? undefined;
  }

  async denials(org: OrgRow, name: string, limit: number): Promise<NetworkDenial[]> {
    await this.#of(org, name);
    return this.recorded.slice(0, limit);
  }

  async orgNetwork(org: OrgRow): Promise<NetworkPolicy | undefined> {
    return this.#orgs.get(org.id);
  }

  async setOrgNetwork(org: OrgRow, policy: NetworkPolicy | null): Promise<void> {
    this.#assertEnforceable(policy);
    if (policy) this.#orgs.set(org.id, policy);
    else this.#orgs.delete(org.id);
  }

  async kept(org: OrgRow, name: string): Promise<Omit<SpritePolicies, 'network'>> {
    return this.#of(org, name);
  }

  async keep(org: OrgRow, name: string, patch: Parameters<PolicyService['keep']>[2]): Promise<void> {
    const policies = await this.#of(org, name);
    if (patch.privileges !== undefined) policies.privileges = patch.privileges ?? undefined;
    if (patch.resources !== undefined) policies.resources = patch.resources ?? undefined;
  }

  async #of(org: OrgRow, name: string): Promise<SpritePolicies> {
    const { row } = await this.#get(org, name);
    const policies = this.#sprites.get(row.id) ?? {};
    this.#sprites.set(row.id, policies);
    return policies;
  }

  #assertEnforceable(policy: NetworkPolicy | null): void {
    if (policy && policy.rules.length > 0 && this.obstacle !== undefined)
      throw new SylphError('policy_unenforceable', `this host cannot enforce a network policy: ${this.obstacle}`);
  }
}
