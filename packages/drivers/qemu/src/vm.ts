import type { CaptureReport, Vm, VmEnd } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import * as z from 'zod';
import { runFiles } from './args.ts';
import { captureLive } from './capture/capture-live.ts';
import { captureStopped } from './capture/capture-stopped.ts';
import type { WorkerPool } from './capture/pool.ts';
import { saveConsole } from './console.ts';
import { privateBytes, processFacts } from './procfs.ts';
import { type QmpClient, type QmpEvent, runStatus } from './qmp.ts';
import { cleanLines, terminate, within } from './supervise.ts';
import { type VmProcess, describeEnd } from './vm-process.ts';

const quitGraceMs = 2_000;
/** A VM paused because the pool was full tries again after this, ms. */
const diskRetryMs = 1_000;

const shutdown = z.object({ guest: z.boolean(), reason: z.string() });
const blockError = z.object({ action: z.string() });

/** What a VM is made of; {@link QemuVm} takes all of it over. */
export interface VmParts {
  dir: string;
  uid: number;
  ramMib: number;
  process: VmProcess;
  qmp: QmpClient;
  workers: WorkerPool;
  paused: boolean;
  /** Called once when the process is gone. */
  onEnd: () => void;
}

/** A VM as one QEMU process. */
export class QemuVm implements Vm {
  readonly dir: string;
  readonly pid: number;
  readonly paused: boolean;
  readonly sockets: { data: string; control: string };
  readonly ended: Promise<VmEnd>;
  readonly #parts: VmParts;
  /** First reason for its end, if one is known before the process is gone. */
  #cause: VmEnd | undefined;
  #ending: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #released = false;

  constructor(parts: VmParts) {
    this.#parts = parts;
    this.dir = parts.dir;
    this.pid = parts.process.pid;
    this.paused = parts.paused;
    // Through the process: a working directory may be deeper than the 107 bytes of a socket's address.
    const cwd = `/proc/${parts.process.pid}/cwd`;
    this.sockets = { data: `${cwd}/${runFiles.data}`, control: `${cwd}/${runFiles.control}` };
    parts.qmp.unref();
    parts.qmp.onEvent((event) => this.#onEvent(event));
    void parts.qmp.closed.then(() => parts.process.expectEnd());
    this.ended = this.#watch();
  }

  async capture(
    targetDir: string,
    mode: 'stopped' | 'live',
    options: { whilePaused: () => void; signal: AbortSignal },
  ): Promise<CaptureReport> {
    const { dir, uid, ramMib, qmp, workers } = this.#parts;
    const job = { pid: this.pid, vmDir: dir, targetDir, ramBytes: ramMib * 2 ** 20 };
    using worker = await workers.acquire(options.signal);
    return mode === 'stopped'
      ? await captureStopped(qmp, worker, job, options)
      : await captureLive(qmp, worker, { ...job, uid }, options);
  }

  async continue(): Promise<void> {
    await this.#parts.qmp.command('cont');
  }

  async end(): Promise<void> {
    this.#cause ??= { cause: 'asked', reason: 'ended by request' };
    this.#ending ??= this.#end();
    await this.#ending;
  }

  release(): void {
    this.#released = true;
    clearTimeout(this.#retry);
    this.#parts.qmp.close();
    this.#parts.process.release();
  }

  async usage(): Promise<{ cpuMs: number; privateBytes: number }> {
    return { cpuMs: processFacts(this.pid)?.cpuMs ?? 0, privateBytes: await privateBytes(this.pid) };
  }

  async #end(): Promise<void> {
    const { process: hypervisor, qmp } = this.#parts;
    hypervisor.expectEnd();
    // A QEMU that cannot be asked any more is ended by signals.
    await within(
      qmp.command('quit', {}, { deadlineMs: quitGraceMs }).catch(() => {}),
      quitGraceMs,
    );
    if ((await within(hypervisor.exited, quitGraceMs)) === undefined) await terminate(hypervisor);
    await this.ended;
  }

  async #watch(): Promise<VmEnd> {
    const { process: hypervisor, qmp, onEnd } = this.#parts;
    const exit = await hypervisor.exited;
    clearTimeout(this.#retry);
    qmp.close();
    hypervisor.release();
    onEnd();
    return this.#cause ?? { cause: 'died', reason: describeEnd(exit, hypervisor.stderrTail()) };
  }

  #onEvent(event: QmpEvent): void {
    if (event.name === 'SHUTDOWN') void this.#onShutdown(event);
    if (event.name === 'BLOCK_IO_ERROR' && blockError.safeParse(event.data).data?.action === 'stop') this.retryDisk();
  }

  /** The guest powered off or reset: QEMU holds it paused, so that its last words can be read. */
  async #onShutdown(event: QmpEvent): Promise<void> {
    const facts = shutdown.safeParse(event.data);
    if (!facts.success || !facts.data.guest || this.#cause !== undefined) return;
    const words = cleanLines(await saveConsole(this.#parts.qmp, this.dir), 3);
    const how = facts.data.reason === 'guest-reset' ? 'restarted' : 'powered off';
    this.#cause ??= {
      cause: 'guest',
      reason: words === '' ? `the guest ${how}` : `the guest ${how}; its last words: ${words}`,
    };
    this.#ending ??= this.#end();
    // A process that outlives KILL is reported to whoever calls `end`.
    await this.#ending.catch(() => {});
  }

  /** QEMU pauses a guest whose disk has no room, rather than show it an error; the write is repeated when the guest goes on. */
  retryDisk(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      void this.#continueAfterIoError();
    }, diskRetryMs);
    this.#retry.unref();
  }

  async #continueAfterIoError(): Promise<void> {
    if (this.#released || this.#ending !== undefined) return;
    try {
      // Paused for another reason meanwhile (a capture): that one decides when it goes on.
      if ((await this.#parts.qmp.query(runStatus, 'query-status')).status === 'io-error')
        await this.#parts.qmp.command('cont');
    } catch (error) {
      // The VM is going away, which its end reports.
      if (SylphError.from(error).code !== 'vm_failed') throw error;
    }
  }
}
