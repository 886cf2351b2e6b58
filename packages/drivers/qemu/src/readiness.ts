import { setTimeout as sleep } from 'node:timers/promises';
import { SylphError } from '@sylph/model';
import { readConsole } from './console.ts';
import { type QmpClient, runStatus } from './qmp.ts';

/**
 * A healthy boot prints its first line within 0.7 s under emulation on an idle machine and 3.1 s on one whose two cores are shared by several VMs; some boots
 * never print anything and never will. Four times the worst healthy one.
 */
export const defaultSilenceMs = 12_000;
const consolePollMs = 50;
const incomingDeadlineMs = 60_000;
/** An event tells when the state is loaded; this bounds the wait for one that was missed. */
const incomingPollMs = 10;

/** The guest's kernel printed nothing. */
export class SilentBootError extends SylphError {
  constructor(silenceMs: number) {
    super('vm_failed', `the guest printed nothing for ${silenceMs} ms`);
  }
}

/** Waits for the first output of a booting kernel. Throws {@link SilentBootError}. */
export async function awaitSignOfLife(
  qmp: QmpClient,
  options: { silenceMs: number; signal: AbortSignal },
): Promise<void> {
  const until = performance.now() + options.silenceMs;
  while ((await readConsole(qmp)).length === 0) {
    if (performance.now() > until) throw new SilentBootError(options.silenceMs);
    await sleep(consolePollMs, undefined, { signal: options.signal });
  }
}

/** Waits until the device state is loaded, then lets the virtual CPUs run. A state that does not load ends QEMU, which the caller watches. */
export async function awaitMemory(qmp: QmpClient, signal: AbortSignal): Promise<void> {
  const until = performance.now() + incomingDeadlineMs;
  const moved = new Wakeup();
  const unsubscribe = qmp.onEvent(() => moved.wake());
  try {
    for (;;) {
      const state = await qmp.query(runStatus, 'query-status');
      if (state.running) return;
      if (state.status !== 'inmigrate') break;
      if (performance.now() > until)
        throw new SylphError('vm_failed', `device state not loaded in ${incomingDeadlineMs} ms`);
      // Events that came before this connection was negotiated are not told again.
      await Promise.race([moved.promise, sleep(incomingPollMs, undefined, { signal })]);
      moved.rearm();
    }
  } finally {
    unsubscribe();
  }
  await qmp.command('cont');
}

/** A promise that can be resolved again and again. */
class Wakeup {
  #current = Promise.withResolvers<void>();

  get promise(): Promise<void> {
    return this.#current.promise;
  }

  wake(): void {
    this.#current.resolve();
  }

  rearm(): void {
    this.#current = Promise.withResolvers<void>();
  }
}
