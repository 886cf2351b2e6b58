import type { SpriteActor } from './actor/actor.ts';

/** Shortest time between two looks at one sprite: activity comes in bursts. */
const minDelayMs = 50;
/** Longest time a timer can run (it holds 31 bits); a sprite that may sleep later is looked at in between. */
const maxDelayMs = 2 ** 31 - 1;

/** When an awake sprite may sleep, ms from now; 0 = now; undefined = not by itself. */
export function idleDelayMs(
  sprite: {
    idleTimeoutS: number;
    leases: number;
    clients: number;
    jobs: number;
    lastUseAt: number;
    lastOutputAt: number;
    tasksUntil: number;
  },
  now: number,
): number | undefined {
  if (sprite.idleTimeoutS === 0 || sprite.leases > 0 || sprite.clients > 0 || sprite.jobs > 0) return undefined;
  const quietAt = Math.max(sprite.lastUseAt, sprite.lastOutputAt) + sprite.idleTimeoutS * 1000;
  return Math.max(0, Math.max(quietAt, sprite.tasksUntil) - now);
}

/**
 * Puts a sprite to sleep when nobody used it for its idle time: one timer per awake sprite, none for sleeping ones.
 * Awake while: a client is attached, a job runs, a lease is held, a task of its programs lives, or something printed or was used within the idle time. `sleep` is given a way to ask whether that is still so when its turn comes.
 */
export function watchIdle(
  actor: SpriteActor,
  signal: AbortSignal,
  sleep: (isIdle: () => Promise<boolean>) => Promise<void>,
): void {
  let timer: NodeJS.Timeout | undefined;
  const delayMs = async (): Promise<number | undefined> => {
    const sessions = await actor.sessions();
    return idleDelayMs(
      {
        idleTimeoutS: actor.row.idleTimeoutS,
        leases: actor.leases,
        lastUseAt: actor.lastUseAt,
        tasksUntil: actor.tasksUntil,
        ...sessions.activity(),
      },
      performance.now(),
    );
  };
  const look = async (): Promise<void> => {
    const delay = await delayMs();
    clearTimeout(timer);
    if (signal.aborted || delay === undefined) return;
    timer = setTimeout(
      delay > 0 ? lookAgain : () => void fallAsleep(),
      Math.min(Math.max(delay, minDelayMs), maxDelayMs),
    );
  };
  const lookAgain = (): void => {
    if (!signal.aborted)
      look().catch((error: unknown) =>
        actor.log.error({ err: error }, 'it cannot be told whether a sprite is idle; it stays awake'),
      );
  };
  const fallAsleep = async (): Promise<void> => {
    try {
      await sleep(async () => (await delayMs()) === 0);
    } catch (error) {
      actor.log.error({ err: error }, 'idle sprite could not be put to sleep');
      actor.lastUseAt = performance.now();
    }
    // It may have been used meanwhile.
    lookAgain();
  };
  actor.onActivity = lookAgain;
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  lookAgain();
}
