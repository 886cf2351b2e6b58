import { SylphError } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import { capture } from './capture.ts';
import { dismantle } from './launch.ts';

/** Time the guest gets to flush before a capture. It is a courtesy: a memory snapshot is whole without it, and a hung guest must not keep a sprite awake. */
export const quiesceDeadlineMs = 5_000;

/**
 * Puts an awake sprite to sleep: capture, publish, only then end the VM. On failure before the snapshot is published the VM runs on.
 * Clients stay attached to their sessions and see them go on after the next wake.
 */
export async function suspendSprite(actor: SpriteActor, options: { reason: string | null; then: 'asleep' | 'restoring' }): Promise<Snapshot> {
  const { awake } = actor;
  if (!awake) throw new SylphError('illegal_state', `sprite ${actor.row.name} has no VM to put to sleep`);
  const { store, failpoints } = actor.deps;
  const began = performance.now();
  actor.transition(options.then === 'asleep' ? 'suspending' : 'restoring');
  let rest: Snapshot;
  try {
    await using draft = await store.draftRest(actor.id);
    const captured = await capture(actor, awake, draft, 'stopped');
    await failpoints.hit('suspend.captured');
    rest = await draft.commit(captured.manifest);
  } catch (error) {
    // Should the guest not run on either, the watch finds out and says so.
    await awake.vm.continue().catch((thrown: unknown) => actor.log.error({ err: thrown }, 'the VM could not be continued after a failed capture'));
    actor.transition('running');
    throw error;
  }
  await failpoints.hit('suspend.published');
  actor.awake = undefined;
  await (await actor.sessions()).disconnect();
  await dismantle(actor, awake);
  await failpoints.hit('suspend.vm-ended');
  await actor.update({ lastState: 'memory', lastWarmingAt: new Date().toISOString(), reason: options.reason });
  if (options.then === 'asleep') actor.transition('asleep');
  actor.log.info({ durationMs: Math.round(performance.now() - began) }, 'sprite sleeps');
  return rest;
}
