import { SylphError, type MachineIdentity } from '@sylph/model';
import type { CaptureReport, Vm, VmDriver, VmEnd, VmSpec } from '../interfaces/vm-driver.ts';
import { guarded, type Gate } from './gate.ts';
import type { MemoryFiles } from './memory-files.ts';

/** What a guest holds in its memory. */
export interface GuestMemory {
  text: string;
  /** Sessions whose processes run. */
  processes: string[];
}

/** A virtual machine of the null driver, as the operating system has it: it outlives daemons. */
export class Machine {
  readonly dir: string;
  readonly spriteId: string;
  readonly pid: number;
  readonly ended: Promise<VmEnd>;
  memory: GuestMemory;
  /** Files of its guest that are looked at by their paths. They are not captured. */
  readonly files = new Map<string, { text: string; mode: string | undefined; user: string }>();
  paused = false;
  alive = true;
  /** Called when it ends. */
  readonly #listeners: (() => void)[] = [];
  readonly #end: (end: VmEnd) => void;

  constructor(spec: VmSpec, pid: number, memory: GuestMemory) {
    this.dir = spec.dir;
    this.spriteId = spec.spriteId;
    this.pid = pid;
    this.memory = memory;
    const { promise, resolve } = Promise.withResolvers<VmEnd>();
    this.ended = promise;
    this.#end = resolve;
  }

  onEnd(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Ends the process. */
  end(cause: VmEnd['cause'], reason: string): void {
    if (!this.alive) return;
    this.alive = false;
    this.#end({ cause, reason });
    for (const listener of this.#listeners) listener();
  }
}

/** The processes of a host. */
export class Machines {
  readonly all: Machine[] = [];
  readonly files: MemoryFiles;
  identity: MachineIdentity = {
    driver: 'null',
    accelerator: 'tcg',
    qemuVersion: '10.0',
    machine: 'null',
    cpuModel: 'null',
  };

  constructor(files: MemoryFiles) {
    this.files = files;
  }

  alive(): Machine[] {
    return this.all.filter(({ alive }) => alive);
  }

  at(dir: string): Machine | undefined {
    return this.alive().find((machine) => machine.dir === dir);
  }
}

/** {@link VmDriver} whose VMs are objects. One per daemon; the machines are the host's. */
export class NullDriver implements VmDriver {
  readonly #machines: Machines;
  readonly #gate: Gate;

  constructor(machines: Machines, gate: Gate) {
    this.#machines = machines;
    this.#gate = gate;
  }

  async machine(): Promise<MachineIdentity & { reason: string }> {
    return { ...this.#machines.identity, reason: 'nothing else there' };
  }

  async start(spec: VmSpec): Promise<Vm> {
    const { files, all } = this.#machines;
    const dev = spec.memory && files.read(spec.memory.devPath);
    if (spec.memory && dev === undefined) throw new SylphError('vm_failed', `${spec.memory.devPath} is missing`);
    const memory: GuestMemory =
      dev === undefined
        ? { text: `booted ${files.read(`${spec.dir}/disk`)}`, processes: [] }
        : (JSON.parse(dev) as GuestMemory);
    const machine = new Machine(spec, all.length + 1, memory);
    all.push(machine);
    return this.#vm(machine, false);
  }

  async adopt(dir: string): Promise<Vm | undefined> {
    const machine = this.#machines.at(dir);
    return machine && this.#vm(machine, machine.paused);
  }

  #vm(machine: Machine, paused: boolean): Vm {
    return guarded('vm', new NullVm(machine, this.#machines.files, paused), this.#gate, ['release']);
  }
}

class NullVm implements Vm {
  readonly #machine: Machine;
  readonly #files: MemoryFiles;
  readonly paused: boolean;

  constructor(machine: Machine, files: MemoryFiles, paused: boolean) {
    this.#machine = machine;
    this.#files = files;
    this.paused = paused;
  }

  get dir(): string {
    return this.#machine.dir;
  }

  get pid(): number {
    return this.#machine.pid;
  }

  get sockets(): { data: string; control: string } {
    return { data: `${this.dir}/run/data`, control: `${this.dir}/run/control` };
  }

  get ended(): Promise<VmEnd> {
    return this.#machine.ended;
  }

  async capture(
    targetDir: string,
    mode: 'stopped' | 'live',
    options: { whilePaused: () => void },
  ): Promise<CaptureReport> {
    this.#mustLive();
    this.#machine.paused = mode === 'stopped';
    options.whilePaused();
    const memory = JSON.stringify(this.#machine.memory);
    this.#files.write(`${targetDir}/disk`, this.#files.read(`${this.dir}/disk`) ?? '');
    this.#files.write(`${targetDir}/ram`, memory);
    this.#files.write(`${targetDir}/dev`, memory);
    return {
      deviceFormat: mode === 'stopped' ? 'devices' : 'stream',
      pauseMs: 1,
      totalMs: 1,
      changedRamBytes: 4096,
      devSha256: memory,
      sizes: { disk: 1, ram: 1, dev: 1 },
    };
  }

  async continue(): Promise<void> {
    this.#mustLive();
    this.#machine.paused = false;
  }

  async end(): Promise<void> {
    this.#machine.end('asked', 'asked to end');
  }

  release(): void {
    // A machine holds nothing of this daemon's.
  }

  async usage(): Promise<{ cpuMs: number; privateBytes: number }> {
    return { cpuMs: 0, privateBytes: 0 };
  }

  #mustLive(): void {
    if (!this.#machine.alive) throw new SylphError('vm_failed', 'the VM is gone');
  }
}
