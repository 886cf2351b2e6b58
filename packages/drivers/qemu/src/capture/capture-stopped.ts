import fs from 'node:fs';
import type { CaptureReport } from '@sylph/engine';
import { noSpace } from '@sylph/model';
import { runFiles } from '../args.ts';
import type { QmpClient } from '../qmp.ts';
import type { CaptureJob } from './jobs.ts';
import type { WorkerLease } from './pool.ts';

/** Saving devices takes milliseconds; a VM whose disk hangs takes as long as its disk. */
const saveDeadlineMs = 30_000;

/** A device state has some 100 KiB; a file system with less than this has no room for one. */
const leastFreeBytes = 1 << 20;

/** Captures a VM that then stays paused. `stop` drains and flushes its disk. Throws `pool_full` or `vm_failed`; the VM is paused then too, unless it is gone. */
export async function captureStopped(
  qmp: QmpClient,
  worker: WorkerLease,
  job: CaptureJob,
  options: { whilePaused: () => void; signal: AbortSignal },
): Promise<CaptureReport> {
  const began = performance.now();
  await qmp.command('stop', {}, { deadlineMs: saveDeadlineMs });
  options.whilePaused();
  // Despite its name it needs no Xen. `live: false`: the VM may go on afterwards.
  try {
    await qmp.command(
      'xen-save-devices-state',
      { filename: runFiles.dev, live: false },
      { deadlineMs: saveDeadlineMs },
    );
  } catch (error) {
    // QEMU only says that there was trouble with the file.
    if (freeBytes(job.vmDir) < leastFreeBytes)
      throw noSpace('the capture was not done, nothing changed: no room for the device state', error);
    throw error;
  }
  options.signal.throwIfAborted();
  const files = await worker.call('stopped', job);
  const totalMs = performance.now() - began;
  return { deviceFormat: 'devices', pauseMs: totalMs, totalMs, ...files };
}

function freeBytes(dir: string): number {
  const { bavail, bsize } = fs.statfsSync(dir);
  return bavail * bsize;
}
