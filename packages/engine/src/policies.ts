import {
  type NetworkPolicy,
  type PrivilegesPolicy,
  type ResourcesPolicy,
  type SpriteId,
  SylphError,
} from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { EngineDeps } from './deps.ts';
import type { NetworkGuest } from './interfaces/host-network.ts';

/** A network policy, and whose it is. */
export interface PolicyInForce {
  policy: NetworkPolicy;
  from: 'sprite' | 'organization' | 'none';
}

/** What a sprite may reach: by its own policy, else by its organization's, else everything the host's rules leave. */
export async function networkPolicyInForce(
  { repository }: Pick<EngineDeps, 'repository'>,
  sprite: { id: SpriteId; orgId: string },
): Promise<PolicyInForce> {
  const { network } = await repository.policies.policies(sprite.id);
  if (network) return { policy: network, from: 'sprite' };
  const org = await repository.policies.orgNetworkPolicy(sprite.orgId);
  return org ? { policy: org, from: 'organization' } : { policy: { rules: [] }, from: 'none' };
}

/** An actor's sprite as the network knows it. */
export function networkGuest(actor: SpriteActor): NetworkGuest {
  return {
    spriteId: actor.id,
    uid: actor.row.uid,
    policy: async () => (await networkPolicyInForce(actor.deps, actor.row)).policy,
  };
}

/** Changes policies of a sprite: durable, and in force where it is awake, when it resolves. Throws `policy_unenforceable` for network rules this host cannot enforce. */
export async function setPolicies(
  deps: EngineDeps,
  sprite: { id: SpriteId },
  patch: {
    network?: NetworkPolicy | null;
    privileges?: PrivilegesPolicy | null;
    resources?: ResourcesPolicy | null;
  },
): Promise<void> {
  assertEnforceable(deps, patch.network);
  await deps.repository.policies.setPolicies(sprite.id, patch);
  if (patch.network !== undefined) await deps.network.refresh(sprite.id);
}

/** Throws `policy_unenforceable` for rules this host cannot enforce. No rules need nothing. */
export function assertEnforceable(
  { network }: Pick<EngineDeps, 'network'>,
  policy: NetworkPolicy | null | undefined,
): void {
  if (!policy || policy.rules.length === 0 || network.policyObstacle === undefined) return;
  throw new SylphError('policy_unenforceable', `this host cannot enforce a network policy: ${network.policyObstacle}`);
}
