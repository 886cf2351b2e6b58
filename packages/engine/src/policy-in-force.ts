import type { SpriteId } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { EngineDeps } from './deps.ts';
import type { NetworkGuest } from './interfaces/host-network.ts';
import type { PolicyInForce } from './policy-service.ts';

/** What a sprite may reach, and who says so. */
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
