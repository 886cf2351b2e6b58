import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CaptureReport } from '@sylph/engine';
import { SylphError, isNoSpace } from '@sylph/model';
import * as z from 'zod';
import { runFiles } from '../args.ts';
import { type QmpClient, type QmpEvent, runStatus } from '../qmp.ts';
import { captureFailed } from './failure.ts';
import { cloneDisk } from './files.ts';
import type { CaptureJob } from './jobs.ts';
import type { WorkerLease } from './pool.ts';

/** No limit: the stream goes through memory, and the reader's pace holds QEMU back. */
const maxBandwidth = 1e12;
/** What the last round of pages may take, ms: QEMU's least. Medians of the pause under emulation: 10 to 25 ms with 4, 5 to 16 ms with 1. */
const downtimeMs = 1;
/** A guest that writes faster than its pages can be read never gets there: from this pass on it is allowed twice the pause with each pass. */
const patientPasses = 5;
const maxDowntimeMs = 2_000;
const deadlineMs = 300_000;
const cancelDeadlineMs = 10_000;
/** The worker's thread sees its failure before QEMU does; its word only has to cross threads. */
const readerDeadlineMs = 5_000;

const migrationEvent = z.object({ status: z.string() });
const passEvent = z.object({ pass: z.int() });

/** Captures a running VM; it runs again when this resolves or throws. Throws `vm_failed`, or the signal's reason. */
export async function captureLive(
  qmp: QmpClient,
  worker: WorkerLease,
  job: CaptureJob & { uid: number },
  options: { whilePaused: () => void; signal: AbortSignal },
): Promise<CaptureReport> {
  const began = performance.now();
  const stopped = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  let disk: Promise<number> | undefined;
  const clone = (): Promise<number> => {
    disk ??= cloneDisk(path.join(job.vmDir, 'disk'), path.join(job.targetDir, 'disk')).catch((error: Error) => {
      throw captureFailed(error.message, isNoSpace(error), error);
    });
    // A failure is told to whoever awaits it.
    disk.catch(() => {});
    return disk;
  };
  const migration = new Migration(qmp, {
    onStop: () => Atomics.store(new Int32Array(stopped), 0, 1),
    onDrained: () => void clone(),
  });
  try {
    await worker.call('liveListen', { ...job, stopped });
    await migration.prepare();
    options.signal.throwIfAborted();
    const received = worker.call('liveReceive', undefined);
    const stoppedAt = await migration.run(received, options.signal);
    // QEMU has let go of all it had to say: the worker can read what is under way when the guest runs again.
    const diskBytes = await clone();
    options.whilePaused();
    await qmp.command('cont');
    const pauseMs = performance.now() - stoppedAt;
    await received;
    const files = await worker.call('liveFinish', { diskBytes });
    return { deviceFormat: 'stream', pauseMs, totalMs: performance.now() - began, ...files };
  } catch (error) {
    await migration.cancel();
    // The worker may be what failed; a new one takes its place then.
    await worker.call('liveAbort', undefined).catch(() => {});
    throw error;
  } finally {
    migration.close();
  }
}

interface MigrationHooks {
  /** The guest stands still. */
  onStop: () => void;
  /** Its writes have reached the disk's file. Not every QEMU tells. */
  onDrained: () => void;
}

/** QEMU's side of a live capture. */
class Migration {
  readonly #qmp: QmpClient;
  readonly #on: MigrationHooks;
  readonly #unsubscribe: () => void;
  readonly #finished = Promise.withResolvers<string>();
  #stoppedAt: number | undefined;
  #downtimeMs = downtimeMs;
  #started = false;

  constructor(qmp: QmpClient, on: MigrationHooks) {
    this.#qmp = qmp;
    this.#on = on;
    this.#unsubscribe = qmp.onEvent((event) => this.#onEvent(event));
  }

  async prepare(): Promise<void> {
    const { running, status } = await this.#qmp.query(runStatus, 'query-status');
    if (!running) throw new SylphError('vm_failed', `a live capture needs a running VM, this one is ${status}`);
    await this.#setDowntime(downtimeMs);
  }

  /** When the guest stopped. Resolves with the guest standing still and everything sent; `received` only tells of failures. */
  async run(received: Promise<unknown>, signal: AbortSignal): Promise<number> {
    const failed = Promise.withResolvers<never>();
    const onAbort = (): void => failed.reject(signal.reason as Error);
    const timer = setTimeout(
      () => failed.reject(new SylphError('vm_failed', `live capture took more than ${deadlineMs} ms`)),
      deadlineMs,
    );
    const gone = this.#qmp.closed.then(() => {
      throw new SylphError('vm_failed', 'QEMU went away during a live capture');
    });
    signal.addEventListener('abort', onAbort, { once: true });
    // Whichever comes first is seen by the race below; the others have nobody to tell.
    for (const promise of [failed.promise, gone, received]) promise.catch(() => {});
    try {
      this.#started = true;
      await this.#qmp.command('migrate', { uri: `unix:${runFiles.stream}` });
      const completed = this.#completed(received);
      await Promise.race([failed.promise, gone, completed, received.then(() => completed)]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
    if (this.#stoppedAt === undefined)
      throw new SylphError('vm_failed', 'the migration completed without stopping the VM');
    return this.#stoppedAt;
  }

  /** Makes sure the VM runs, whatever was reached. Never throws: what failed is on its way to the caller, and a VM that cannot be told to run is seen as broken. */
  async cancel(): Promise<void> {
    if (!this.#started) return;
    try {
      await this.#qmp.command('migrate_cancel', {}, { deadlineMs: cancelDeadlineMs });
      const end = setTimeout(() => this.#finished.resolve('late'), cancelDeadlineMs);
      await this.#finished.promise;
      clearTimeout(end);
      const { running } = await this.#qmp.query(runStatus, 'query-status');
      if (!running) await this.#qmp.command('cont');
    } catch {
      // Said above.
    }
  }

  close(): void {
    this.#unsubscribe();
  }

  async #completed(received: Promise<unknown>): Promise<void> {
    const end = await this.#finished.promise;
    if (end === 'completed') return;
    // A reader that fails makes QEMU fail, whose word may come first.
    const reason = await Promise.race([
      received.then(
        () => undefined,
        (error: unknown) => SylphError.from(error),
      ),
      sleep(readerDeadlineMs, undefined, { ref: false }),
    ]);
    throw reason?.code === 'pool_full' ? reason : new SylphError('vm_failed', `migration ${end}`);
  }

  #onEvent(event: QmpEvent): void {
    switch (event.name) {
      case 'STOP':
        this.#stoppedAt = event.atMs;
        this.#on.onStop();
        break;
      case 'MIGRATION': {
        const { data } = migrationEvent.safeParse(event.data);
        if (data?.status === 'device') this.#on.onDrained();
        if (data !== undefined && ['completed', 'failed', 'cancelled'].includes(data.status))
          this.#finished.resolve(data.status);
        break;
      }
      case 'MIGRATION_PASS':
        this.#onPass(passEvent.safeParse(event.data).data?.pass ?? 0);
        break;
      default:
        break;
    }
  }

  #onPass(pass: number): void {
    if (pass <= patientPasses || this.#downtimeMs >= maxDowntimeMs) return;
    this.#downtimeMs = Math.min(2 * this.#downtimeMs, maxDowntimeMs);
    // Too late or refused: the deadline ends a capture that does not converge.
    this.#setDowntime(this.#downtimeMs).catch(() => {});
  }

  async #setDowntime(limitMs: number): Promise<void> {
    await this.#qmp.command('migrate-set-parameters', { 'max-bandwidth': maxBandwidth, 'downtime-limit': limitMs });
  }
}
