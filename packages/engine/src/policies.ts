import { type NetworkDenial, type NetworkPolicy, type SpriteId, SylphError } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { DenialRecorder } from './denials.ts';
import type { EngineDeps } from './deps.ts';
import type { SpritePolicies } from './interfaces/policy-repository.ts';
import type { OrgRow, SpriteRow } from './interfaces/repository.ts';
import { inParallel } from './parallel.ts';
import { writePolicyFile } from './policy-file.ts';
import { networkPolicyInForce } from './policy-in-force.ts';
import type { PolicyInForce, PolicyService } from './policy-service.ts';

/** Sprites that are awake, or that somebody has in hand. */
interface Actors {
  all(): SpriteActor[];
  find(id: SpriteId): SpriteActor | undefined;
}

/** {@link PolicyService} over the repository, the network, and the sprites that are awake. */
export class Policies implements PolicyService {
  readonly #deps: EngineDeps;
  readonly #actors: Actors;
  readonly #denials: Pick<DenialRecorder, 'take'>;
  readonly #row: (org: OrgRow, name: string) => Promise<SpriteRow>;

  constructor(
    deps: EngineDeps,
    parts: {
      actors: Actors;
      denials: Pick<DenialRecorder, 'take'>;
      /** Throws `sprite_not_found`. */
      row: (org: OrgRow, name: string) => Promise<SpriteRow>;
    },
  ) {
    this.#deps = deps;
    this.#actors = parts.actors;
    this.#denials = parts.denials;
    this.#row = parts.row;
  }

  async network(org: OrgRow, name: string): Promise<PolicyInForce> {
    return networkPolicyInForce(this.#deps, await this.#row(org, name));
  }

  async setNetwork(org: OrgRow, name: string, policy: NetworkPolicy | null): Promise<void> {
    const { id } = await this.#row(org, name);
    this.#assertEnforceable(policy);
    await this.#deps.repository.policies.setPolicies(id, { network: policy });
    await this.#deps.network.refresh(id);
    await this.#show(id);
  }

  async denials(org: OrgRow, name: string, limit: number): Promise<NetworkDenial[]> {
    const { id } = await this.#row(org, name);
    await this.#denials.take(id);
    return this.#deps.repository.policies.denials(id, limit);
  }

  orgNetwork(org: OrgRow): Promise<NetworkPolicy | undefined> {
    return this.#deps.repository.policies.orgNetworkPolicy(org.id);
  }

  async setOrgNetwork(org: OrgRow, policy: NetworkPolicy | null): Promise<void> {
    this.#assertEnforceable(policy);
    const { repository, options } = this.#deps;
    await repository.policies.setOrgNetworkPolicy(org.id, policy);
    // Sprites without an actor sleep: their next start asks.
    const actors = this.#actors.all().filter((actor) => actor.org.id === org.id);
    const changed: SpriteId[] = [];
    const failures: unknown[] = [];
    await inParallel(options.parallelism, actors, async ({ id }) => {
      try {
        if ((await repository.policies.policies(id)).network !== undefined) return;
        changed.push(id);
        await this.#deps.network.refresh(id);
      } catch (error) {
        failures.push(error);
      }
    });
    // What their programs read follows: nobody waits for guests that may be slow.
    void inParallel(options.parallelism, changed, (id) => this.#show(id));
    if (failures.length > 0) throw failures[0];
  }

  async kept(org: OrgRow, name: string): Promise<Omit<SpritePolicies, 'network'>> {
    const { privileges, resources } = await this.#deps.repository.policies.policies((await this.#row(org, name)).id);
    return { privileges, resources };
  }

  async keep(org: OrgRow, name: string, patch: Parameters<PolicyService['keep']>[2]): Promise<void> {
    await this.#deps.repository.policies.setPolicies((await this.#row(org, name)).id, patch);
  }

  /** Never rejects. */
  async #show(id: SpriteId): Promise<void> {
    const actor = this.#actors.find(id);
    if (actor?.awake) await writePolicyFile(actor, actor.awake);
  }

  /** No rules need nothing. */
  #assertEnforceable(policy: NetworkPolicy | null): void {
    const obstacle = this.#deps.network.policyObstacle;
    if (!policy || policy.rules.length === 0 || obstacle === undefined) return;
    throw new SylphError('policy_unenforceable', `this host cannot enforce a network policy: ${obstacle}`);
  }
}
