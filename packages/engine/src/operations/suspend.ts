import { SylphError } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import { capture } from './capture.ts';
import { endAwake } from './launch.ts';
import { settle } from './settle.ts';

/**
 * Puts an awake sprite to sleep: capture, publish, only then end the VM. On failure before the snapshot is published the VM runs on.
 * Clients stay attached to their sessions and see them go on after the next wake.
 */
export async function suspendSprite(actor: SpriteActor, options: { then: 'asleep' | 'restoring' }): Promise<Snapshot> {
  const { awake } = actor;
  if (!awake) throw new SylphError('illegal_state', `sprite ${actor.row.name} has no VM to put to sleep`);
  const began = performance.now();
  actor.transition(options.then === 'asleep' ? 'suspending' : 'restoring');
  let rest: Snapshot;
  try {
    rest = await publish(actor, awake);
  } catch (error) {
    await runOn(actor, awake);
    throw error;
  }
  await clearUp(actor, awake, { sleeps: options.then === 'asleep' });
  await actor.update({ lastState: 'memory', lastWarmingAt: new Date().toISOString(), reason: null });
  if (options.then === 'asleep') actor.transition('asleep');
  actor.log.info({ durationMs: Math.round(performance.now() - began) }, 'sprite sleeps');
  return rest;
}

async function publish(actor: SpriteActor, awake: AwakeVm): Promise<Snapshot> {
  await using draft = await actor.deps.store.draftRest(actor.id);
  const captured = await capture(actor, awake, draft, 'stopped');
  await actor.deps.failpoints.hit('suspend.captured');
  // Awaited here: the draft goes when this returns.
  return await draft.commit(captured.manifest);
}

/** After a failed capture. A commit can fail behind its rename: the sprite must not be found at rest while its VM runs on. */
async function runOn(actor: SpriteActor, awake: AwakeVm): Promise<void> {
  try {
    await actor.deps.store.dropRest(actor.id);
    await awake.vm.continue();
  } catch (error) {
    // Should the guest stand still now, the watch finds out and brings the sprite to rest.
    actor.log.error({ err: error }, 'the VM could not be continued after a failed capture');
  }
  actor.transition('running');
}

/** The sprite is at rest: what is left of its VM must go, but whatever fails here cannot take the sprite's sleep back. */
async function clearUp(actor: SpriteActor, awake: AwakeVm, options: { sleeps: boolean }): Promise<void> {
  const { failpoints, store } = actor.deps;
  actor.awake = undefined;
  try {
    await failpoints.hit('suspend.published');
    await endAwake(actor, awake, options);
    await failpoints.hit('suspend.vm-ended');
    await store.removeVm(awake.dir);
  } catch (error) {
    actor.log.error({ err: error }, 'the VM of a sprite at rest could not be cleared up at once');
    await settle(actor, 'its VM could not be cleared up');
  }
}
