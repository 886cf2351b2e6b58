import fs from 'node:fs';
import path from 'node:path';
import type { Vm, VmDriver, VmSpec } from '@sylph/engine';
import { type MachineIdentity, SylphError } from '@sylph/model';
import { spawnAsVm } from './account.ts';
import { machineName, qemuArgs, runFiles } from './args.ts';
import { WorkerPool } from './capture/pool.ts';
import { type VmHandle, describeProcess, findProcess, writeHandle } from './handle.ts';
import { type VmLimits, openLimits } from './limits.ts';
import { type AcceleratorChoice, AcceleratorProbe, cpuModel, kvmDevice } from './probe.ts';
import { QmpClient, runStatus } from './qmp.ts';
import { SilentBootError, awaitMemory, awaitSignOfLife, defaultSilenceMs } from './readiness.ts';
import { terminate, within } from './supervise.ts';
import { measureTscKhz } from './tsc.ts';
import { QemuVm, type VmParts } from './vm.ts';
import { type VmProcess, adoptedProcess, childProcess, describeEnd } from './vm-process.ts';

const qmpDeadlineMs = 10_000;
const endGraceMs = 500;

/** Options of {@link QemuDriver}. */
export interface QemuDriverOptions {
  /** Directory for what the driver remembers: the accelerator probe's answers. Made when missing. */
  stateDir: string;
  /** Default `auto`: KVM if it runs the given kernel, else emulation. */
  accelerator?: AcceleratorChoice;
  /** Hypervisor to run. Default `qemu-system-x86_64`, from PATH. */
  qemu?: string;
  /** How long a booting guest may print nothing before it is booted once more, ms. */
  silenceMs?: number;
  /** Told of what a person may want to know though nothing failed: a silent boot that was repeated. */
  onNotice?: (notice: string) => void;
}

/** VMs as QEMU microvm processes, one each, of the sprite's own uid. Dispose it after its VMs have been released or ended. */
export class QemuDriver implements VmDriver, AsyncDisposable {
  /** Whether CPU and memory limits of VMs are enforced, and if not why not. */
  readonly limits: Pick<VmLimits, 'kind' | 'reason'>;
  readonly #limits: VmLimits;
  readonly #qemu: string;
  readonly #probe: AcceleratorProbe;
  readonly #workers = new WorkerPool();
  readonly #silenceMs: number;
  readonly #notice: (notice: string) => void;
  #tscKhzOnce: Promise<number> | undefined;

  constructor(options: QemuDriverOptions) {
    this.#qemu = options.qemu ?? 'qemu-system-x86_64';
    this.#probe = new AcceleratorProbe({
      qemu: this.#qemu,
      stateDir: options.stateDir,
      choice: options.accelerator ?? 'auto',
    });
    this.#silenceMs = options.silenceMs ?? defaultSilenceMs;
    this.#notice = options.onNotice ?? (() => {});
    this.#limits = openLimits();
    this.limits = this.#limits;
    this.#workers.warm();
  }

  async machine(probe: { kernel: string; initrd: string }): Promise<MachineIdentity & { reason: string }> {
    const { accelerator, qemuVersion, reason } = await this.#probe.answer(probe);
    return { driver: 'qemu', accelerator, qemuVersion, machine: machineName, cpuModel: cpuModel(accelerator), reason };
  }

  async start(spec: VmSpec, options: { signal: AbortSignal }): Promise<Vm> {
    try {
      return await this.#attempt(spec, options.signal);
    } catch (error) {
      if (!(error instanceof SilentBootError)) throw error;
      this.#notice(`${spec.spriteId}: ${error.message}; booting it once more`);
      return await this.#attempt(spec, options.signal);
    }
  }

  async adopt(dir: string): Promise<Vm | undefined> {
    const found = findProcess(dir, (exe) => path.basename(exe) === path.basename(this.#qemu));
    if (found === undefined) return undefined;
    const hypervisor = adoptedProcess(found.pid, found.startTime);
    const vm = found.handle === undefined ? undefined : await this.#reconnect(dir, hypervisor, found.handle);
    if (vm !== undefined) return vm;
    // Not a VM any more, or not one yet: it never counted, or its guest has powered off.
    hypervisor.expectEnd();
    await terminate(hypervisor);
    hypervisor.release();
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workers[Symbol.asyncDispose]();
  }

  async #attempt(spec: VmSpec, signal: AbortSignal): Promise<Vm> {
    signal.throwIfAborted();
    const hypervisor = await this.#spawn(spec);
    const attempt = new AbortController();
    const died = hypervisor.exited.then((exit) => {
      attempt.abort();
      throw new SylphError('vm_failed', describeEnd(exit, hypervisor.stderrTail()));
    });
    try {
      const vm = { ramMib: spec.shape.ramMib, group: spec.spriteId };
      const handle = describeProcess(hypervisor.pid, vm);
      if (handle !== undefined) writeHandle(spec.dir, handle);
      this.#limits.apply(hypervisor.pid, vm.group, spec.shape);
      const running = this.#bringUp(spec, hypervisor, AbortSignal.any([signal, attempt.signal]));
      // When QEMU dies the bring-up fails too, with less to say.
      running.catch(() => {});
      const qmp = await Promise.race([died, endFirst(running, died)]);
      died.catch(() => {});
      return this.#vm({ dir: spec.dir, uid: spec.uid, process: hypervisor, qmp, paused: false, ...vm });
    } catch (error) {
      attempt.abort();
      died.catch(() => {});
      await terminate(hypervisor);
      hypervisor.release();
      if (signal.aborted) throw signal.reason;
      throw asVmFailure(error);
    }
  }

  async #spawn(spec: VmSpec): Promise<VmProcess> {
    const boot =
      spec.memory === undefined
        ? { tscKhz: spec.machine.accelerator === 'tcg' ? await this.#tscKhz() : undefined }
        : undefined;
    const fds: number[] = [];
    try {
      if (spec.machine.accelerator === 'kvm') fds.push(fs.openSync(kvmDevice, 'r+'));
      if (spec.memory !== undefined) fds.push(fs.openSync(spec.memory.devPath, 'r'));
      return childProcess(await spawnAsVm(spec, this.#qemu, qemuArgs(spec, boot), { extraFds: fds }));
    } finally {
      for (const fd of fds) fs.closeSync(fd);
    }
  }

  /** Measured once, at the first boot under emulation. */
  async #tscKhz(): Promise<number> {
    this.#tscKhzOnce ??= measureTscKhz(this.#qemu);
    try {
      return await this.#tscKhzOnce;
    } catch (error) {
      // What failed may pass: the next boot measures again.
      this.#tscKhzOnce = undefined;
      throw error;
    }
  }

  async #bringUp(spec: VmSpec, hypervisor: VmProcess, signal: AbortSignal): Promise<QmpClient> {
    const qmp = await QmpClient.connect(qmpPath(hypervisor.pid), { deadlineMs: qmpDeadlineMs, signal });
    try {
      await (spec.memory === undefined
        ? awaitSignOfLife(qmp, { silenceMs: this.#silenceMs, signal })
        : awaitMemory(qmp, signal));
      return qmp;
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  async #reconnect(
    dir: string,
    hypervisor: VmProcess,
    { ramMib, group }: Pick<VmHandle, 'ramMib' | 'group'>,
  ): Promise<Vm | undefined> {
    let qmp: QmpClient | undefined;
    try {
      qmp = await QmpClient.connect(qmpPath(hypervisor.pid), {
        deadlineMs: qmpDeadlineMs,
        signal: AbortSignal.timeout(qmpDeadlineMs),
      });
      // A live capture the earlier daemon had under way: its reader is gone, the VM has to go on.
      await qmp.command('migrate_cancel');
      const state = await qmp.query(runStatus, 'query-status');
      if (['shutdown', 'inmigrate', 'prelaunch', 'internal-error', 'guest-panicked'].includes(state.status)) {
        qmp.close();
        return undefined;
      }
      const { uid } = fs.statSync(`/proc/${hypervisor.pid}`);
      // With an I/O error it is not paused by anybody: it goes on by itself when there is room.
      const paused = !state.running && state.status !== 'io-error';
      const vm = this.#vm({ dir, uid, process: hypervisor, qmp, paused, ramMib, group });
      if (state.status === 'io-error') vm.retryDisk();
      return vm;
    } catch (error) {
      qmp?.close();
      this.#notice(`the VM in ${dir} does not answer and is ended: ${(error as Error).message}`);
      return undefined;
    }
  }

  #vm({ group, ...parts }: Omit<VmParts, 'workers' | 'onEnd'> & { group: string }): QemuVm {
    return new QemuVm({ ...parts, workers: this.#workers, onEnd: () => this.#limits.remove(group) });
  }
}

function asVmFailure(error: unknown): SylphError {
  if (error instanceof SylphError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SylphError('vm_failed', `cannot start the VM: ${message}`, { cause: error });
}

/** A connection that breaks because QEMU is ending says less than its end, which follows: that is waited for, a moment. */
async function endFirst<T>(running: Promise<T>, died: Promise<never>): Promise<T> {
  try {
    return await running;
  } catch (error) {
    if (SylphError.from(error).code === 'vm_failed' && !(error instanceof SilentBootError))
      await within(died, endGraceMs);
    throw error;
  }
}

/** Through the process's own working directory: the directory's real path may be too long for a socket (108 bytes). */
function qmpPath(pid: number): string {
  return `/proc/${pid}/cwd/${runFiles.qmp}`;
}
