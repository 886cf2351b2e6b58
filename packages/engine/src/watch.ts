import { SylphError } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { AwakeVm } from './actor/awake.ts';
import { watchIdle } from './idle.ts';
import { connect, endAwake } from './operations/launch.ts';
import { settle } from './operations/settle.ts';
import { suspendSprite } from './operations/suspend.ts';
import { keepPolicyFile } from './policy-file.ts';

/**
 * Shares of {@link EngineOptions.agentSilenceMs}: pause, question, pause, question; both without an answer, the way to the agent is opened anew once more. An emulated guest under load answers late.
 */
const silence = { pause: 0.3, question: 0.1, reopening: 0.2 } as const;
const silencesAllowed = 2;

/** Watches a VM that serves: its end, its agent, its idleness. All watches end with `awake.watch`. */
export function watchVm(actor: SpriteActor, awake: AwakeVm): void {
  void awake.vm.ended.then((end) => {
    if (actor.awake === awake)
      actor.background('clearing up after a VM', () => afterDeath(actor, awake, `its VM ended: ${end.reason}`));
  });
  watchChannel(actor, awake);
  keepPolicyFile(actor, awake);
  watchIdle(actor, awake.watch.signal, (isIdle) =>
    actor.enqueue('idle', async () => {
      if (actor.awake === awake && (await isIdle())) await suspendSprite(actor, { then: 'asleep' });
    }),
  );
}

/** Connects the sessions of a VM that is the sprite now. Throws when its agent cannot be reached even by a new channel: then the sprite is at rest with the reason. */
export async function connectSessions(actor: SpriteActor, awake: AwakeVm): Promise<void> {
  try {
    await (await actor.sessions()).connect(awake.channel);
  } catch (error) {
    await reopenChannel(actor, awake, `its sessions could not be connected: ${SylphError.from(error).message}`);
    if (actor.awake !== awake)
      throw new SylphError('agent_failed', `sprite ${actor.row.name} started and was lost: ${actor.row.reason}`, {
        cause: error,
      });
  }
}

function watchChannel(actor: SpriteActor, awake: AwakeVm): void {
  const { channel } = awake;
  const { signal } = awake.watch;
  const { agentSilenceMs } = actor.deps.options;
  let silences = 0;
  let over = false;
  let timer: NodeJS.Timeout;
  const end = (): void => {
    over = true;
    clearTimeout(timer);
  };
  const reopen = (reason: string): void => {
    if (over) return;
    end();
    actor.background('reaching the agent again', async () => {
      if (actor.awake !== awake || awake.channel !== channel) return;
      await reopenChannel(actor, awake, reason);
      if (actor.awake === awake) watchChannel(actor, awake);
    });
  };
  const ask = async (): Promise<void> => {
    try {
      await channel.ping({ deadlineMs: silence.question * agentSilenceMs });
      silences = 0;
    } catch (error) {
      if (++silences >= silencesAllowed)
        return reopen(`its agent stopped answering: ${SylphError.from(error).message}`);
    }
    if (!over) timer = setTimeout(() => void ask(), silence.pause * agentSilenceMs);
  };
  timer = setTimeout(() => void ask(), silence.pause * agentSilenceMs);
  signal.addEventListener('abort', end, { once: true });
  void channel.broken.then(reopen);
  const holdAwake = (forMs: number): void => {
    actor.tasksUntil = performance.now() + forMs;
    actor.onActivity();
  };
  actor.deps.answerer?.serve({ calls: channel.calls, view: () => actor.view, holdAwake }, signal);
}

/** Opens the way to the agent anew. When the agent cannot be reached the sprite is brought to rest. */
async function reopenChannel(actor: SpriteActor, awake: AwakeVm, reason: string): Promise<void> {
  actor.log.warn({ reason }, 'the way to the agent is opened anew');
  const sessions = await actor.sessions();
  await sessions.disconnect();
  await awake.channel.close();
  const deadlineMs = silence.reopening * actor.deps.options.agentSilenceMs;
  try {
    awake.channel = await connect(actor.deps.channels, awake.vm, deadlineMs);
    await awake.channel.open({ deadlineMs });
    await sessions.connect(awake.channel);
  } catch (error) {
    await afterDeath(actor, awake, `${reason}, and it could not be reached again: ${SylphError.from(error).message}`);
  }
}

/** The VM is gone or useless: what is left is its disk, as a power cut leaves it. The next use boots it. */
async function afterDeath(actor: SpriteActor, awake: AwakeVm, reason: string): Promise<void> {
  if (actor.awake !== awake) return;
  await endAwake(actor, awake);
  await settle(actor, reason);
  actor.log.error({ reason }, 'sprite lost its VM; it boots from its disk at the next use');
}
