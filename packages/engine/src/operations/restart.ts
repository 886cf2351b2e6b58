import type { Digest } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import { endAwake } from './launch.ts';
import { settle } from './settle.ts';
import { bootSprite } from './start.ts';

/** Cold boot from the present disk, after the processes inside were asked to end. In another guest where one is given. */
export async function restartSprite(
  actor: SpriteActor,
  options: { reason: string; guestDigest?: Digest | undefined },
): Promise<void> {
  await shutDown(actor, options.reason);
  await bootSprite(actor, options);
}

/** Time processes get between SIGTERM and SIGKILL when a sprite is restarted. */
const poweroffDeadlineMs = 10_000;

async function shutDown(actor: SpriteActor, reason: string): Promise<void> {
  const { awake } = actor;
  if (!awake) return;
  actor.transition('starting');
  await awake.channel
    .poweroff({ deadlineMs: poweroffDeadlineMs })
    .catch((error: unknown) =>
      actor.log.warn({ err: error }, 'the guest did not shut down in order; its disk is as a power cut leaves it'),
    );
  await endAwake(actor, awake);
  await actor.deps.failpoints.hit('restart.vm-ended');
  await settle(actor, reason);
}
