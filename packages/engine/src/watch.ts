import type { SpriteActor } from './actor/actor.ts';
import type { AwakeVm } from './actor/awake.ts';
import { watchIdle } from './idle.ts';
import { restFromVm } from './operations/launch.ts';
import { suspendSprite } from './operations/suspend.ts';

/** How often an awake sprite's agent is asked whether it lives, and what counts as silence. An emulated guest under load answers late. */
const pingIntervalMs = 30_000;
const pingDeadlineMs = 20_000;
const silencesAllowed = 2;
/** Time to open a broken data session anew. */
const reopenDeadlineMs = 20_000;

/** Watches an awake VM: its end, its agent, its idleness. All watches end with `awake.watch`. */
export function watchVm(actor: SpriteActor, awake: AwakeVm): void {
  void awake.vm.ended.then((end) => {
    if (actor.awake !== awake || awake.watch.signal.aborted) return;
    actor.background('clearing up after a VM', () => afterDeath(actor, awake, `its VM ended: ${end.reason}`));
  });
  watchChannel(actor, awake);
  watchIdle(actor, awake.watch.signal, () =>
    actor.enqueue('idle', async () => {
      if (actor.awake !== awake || actor.leases > 0 || (await actor.sessions()).activity().clients > 0) return;
      await suspendSprite(actor, { reason: null, then: 'asleep' });
    }),
  );
}

function watchChannel(actor: SpriteActor, awake: AwakeVm): void {
  const { channel } = awake;
  const { signal } = awake.watch;
  let silences = 0;
  let timer: NodeJS.Timeout;
  const reopen = (reason: string): void => {
    clearTimeout(timer);
    if (signal.aborted || awake.channel !== channel) return;
    actor.background('reaching the agent again', () => reopenChannel(actor, awake, reason));
  };
  const ask = async (): Promise<void> => {
    try {
      await channel.ping({ deadlineMs: pingDeadlineMs });
      silences = 0;
    } catch (error) {
      if (++silences >= silencesAllowed) return reopen(`its agent stopped answering: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (!signal.aborted) timer = setTimeout(() => void ask(), pingIntervalMs);
  };
  timer = setTimeout(() => void ask(), pingIntervalMs);
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  void channel.broken.then(reopen);
}

async function reopenChannel(actor: SpriteActor, awake: AwakeVm, reason: string): Promise<void> {
  if (actor.awake !== awake) return;
  actor.log.warn({ reason }, 'the way to the agent is opened anew');
  const sessions = await actor.sessions();
  await sessions.disconnect();
  await awake.channel.close();
  try {
    const channel = await actor.deps.channels.connect(awake.vm.sockets, { deadlineMs: reopenDeadlineMs, signal: AbortSignal.timeout(reopenDeadlineMs) });
    await channel.open({ deadlineMs: reopenDeadlineMs });
    awake.channel = channel;
    await sessions.connect(channel);
    watchChannel(actor, awake);
  } catch (error) {
    await afterDeath(actor, awake, `${reason}, and it could not be reached again: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The VM is gone or useless: what is left is its disk, as a power cut leaves it. The next use boots it. */
async function afterDeath(actor: SpriteActor, awake: AwakeVm, reason: string): Promise<void> {
  if (actor.awake !== awake) return;
  actor.awake = undefined;
  awake.watch.abort();
  const sessions = await actor.sessions();
  await sessions.disconnect();
  await awake.channel.close();
  await awake.vm.end();
  await actor.deps.network.detach(actor.id);
  await sessions.lose(reason);
  await restFromVm(actor, awake.dir);
  await actor.update({ lastState: 'disk', reason });
  actor.transition('asleep');
  actor.log.error({ reason }, 'sprite lost its VM; it boots from its disk at the next use');
}
