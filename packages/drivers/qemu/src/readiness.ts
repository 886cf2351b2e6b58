import { setTimeout as sleep } from 'node:timers/promises';
import { SylphError } from '@sylph/model';
import * as z from 'zod';
import { readConsole, saveConsole } from './console.ts';
import type { QmpClient } from './qmp.ts';

/**
 * A healthy boot prints its first line within 0.7 s under emulation on an idle machine and 3.1 s on one whose two cores are shared by several VMs; some boots
 * never print anything and never will. Four times the worst healthy one.
 */
const silenceMs = 12_000;
const consolePollMs = 50;
const incomingDeadlineMs = 60_000;
/** Between looks at a state that is loading: it takes some 20 ms, and nothing else goes through this connection. */
const incomingPollMs = 1;

const status = z.object({ status: z.string(), running: z.boolean() });

/** The guest's kernel printed nothing. */
export class SilentBootError extends SylphError {
  constructor() {
    super('vm_failed', `the guest printed nothing for ${silenceMs} ms`);
  }
}

/** Waits for the first output of a booting kernel. Throws {@link SilentBootError}. */
export async function awaitSignOfLife(qmp: QmpClient, dir: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + silenceMs;
  while ((await readConsole(qmp)).length === 0) {
    if (performance.now() > until) {
      await saveConsole(qmp, dir);
      throw new SilentBootError();
    }
    await sleep(consolePollMs, undefined, { signal });
  }
}

/** Waits until the device state is loaded, then lets the virtual CPUs run. A state that does not load ends QEMU, which the caller watches. */
export async function awaitMemory(qmp: QmpClient, signal: AbortSignal): Promise<void> {
  const until = performance.now() + incomingDeadlineMs;
  for (;;) {
    const state = await qmp.query(status, 'query-status');
    if (state.running) return;
    if (state.status !== 'inmigrate') break;
    if (performance.now() > until) throw new SylphError('vm_failed', `device state not loaded in ${incomingDeadlineMs} ms`);
    await sleep(incomingPollMs, undefined, { signal });
  }
  await qmp.command('cont');
}
