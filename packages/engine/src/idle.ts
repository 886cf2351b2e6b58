import type { SpriteActor } from './actor/actor.ts';

/** Shortest time between two looks at one sprite: activity comes in bursts. */
const minDelayMs = 50;

/** When an awake sprite may sleep, ms from now; 0 = now; undefined = not by itself. */
export function idleDelayMs(sprite: { idleTimeoutS: number; leases: number; clients: number; lastUseAt: number; lastOutputAt: number }, now: number): number | undefined {
  if (sprite.idleTimeoutS === 0 || sprite.leases > 0 || sprite.clients > 0) return undefined;
  return Math.max(0, Math.max(sprite.lastUseAt, sprite.lastOutputAt) + sprite.idleTimeoutS * 1000 - now);
}

/**
 * Puts a sprite to sleep when nobody used it for its idle time: one timer per awake sprite, none for sleeping ones.
 * Awake while: a client is attached, a lease is held, or something printed or was used within the idle time.
 */
export function watchIdle(actor: SpriteActor, signal: AbortSignal, sleep: () => Promise<unknown>): void {
  let timer: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    clearTimeout(timer);
    if (signal.aborted) return;
    const delay = idleDelayMs({ idleTimeoutS: actor.row.idleTimeoutS, leases: actor.leases, lastUseAt: actor.lastUseAt, ...(await actor.sessions()).activity() }, performance.now());
    if (signal.aborted || delay === undefined) return;
    clearTimeout(timer);
    timer = setTimeout(() => (delay > 0 ? void look() : void fallAsleep()), Math.max(delay, minDelayMs));
  };
  const fallAsleep = async (): Promise<void> => {
    try {
      await sleep();
    } catch (error) {
      actor.log.error({ err: error }, 'idle sprite could not be put to sleep');
      actor.lastUseAt = performance.now();
      void look();
    }
  };
  actor.onActivity = () => void look();
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  void look();
}
