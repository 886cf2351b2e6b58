import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { AgentClient, type Answer } from './agent-client.ts';
import { reflink } from './files.ts';
import { floorArgs, snapshotFiles, type FloorMachine, type FloorSnapshot } from './machine.ts';
import { Qmp } from './qmp.ts';

/** Generous: ten VMs may start at once on a machine that is busy anyway. */
const monitorDeadlineMs = 60_000;
const startDeadlineMs = 60_000;
const quitDeadlineMs = 10_000;
const bootAttempts = 5;
/** What the agent prints when no session holds its port. */
const waitsMark = 'FLOOR-WAITS';

/** One VM under bare QEMU. Dispose: ends the process and removes its directory. */
export class FloorVm implements AsyncDisposable {
  readonly dir: string;
  /** RAM file it maps privately. */
  readonly ram: string;
  readonly qmp: Qmp;
  readonly #machine: FloorMachine;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #agent: AgentClient | undefined;

  private constructor(
    machine: FloorMachine,
    dir: string,
    ram: string,
    child: ChildProcess,
    ended: Promise<void>,
    qmp: Qmp,
  ) {
    this.#machine = machine;
    this.dir = dir;
    this.ram = ram;
    this.#process = child;
    this.#ended = ended;
    this.qmp = qmp;
    machine.live.add(this);
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** Starts a VM from a snapshot, to its virtual CPUs running: directory, disk reflink, RAM link, QEMU with -incoming, cont. */
  static async restore(machine: FloorMachine, name: string, snapshot: FloorSnapshot): Promise<FloorVm> {
    const dir = path.join(machine.dir, name);
    fs.mkdirSync(dir);
    reflink(path.join(snapshot.dir, snapshotFiles.disk), path.join(dir, 'disk'));
    const ram = path.join(dir, snapshotFiles.ram);
    // It must outlive the snapshot's own name: the next capture starts from it.
    fs.linkSync(path.join(snapshot.dir, snapshotFiles.ram), ram);
    const dev = fs.openSync(path.join(snapshot.dir, snapshotFiles.dev), 'r');
    try {
      const vm = await FloorVm.#spawn(machine, dir, ram, floorArgs(machine, { ram, restore: true }), dev);
      await vm.#run();
      return vm;
    } finally {
      fs.closeSync(dev);
    }
  }

  /** Boots from the root disk until the agent waits for the host. An emulated boot hangs now and then with an empty console: so several attempts. */
  static async boot(machine: FloorMachine, name: string, options: { deadlineMs: number }): Promise<FloorVm> {
    for (let attempt = 1; ; attempt++) {
      const dir = path.join(machine.dir, `${name}-${attempt}`);
      fs.mkdirSync(dir);
      reflink(machine.guest.disk, path.join(dir, 'disk'));
      const ram = path.join(dir, snapshotFiles.ram);
      fs.writeFileSync(ram, '');
      fs.truncateSync(ram, machine.ramMib * 2 ** 20);
      const vm = await FloorVm.#spawn(machine, dir, ram, floorArgs(machine, { ram, restore: false }), undefined);
      try {
        await vm.waiting(1, options.deadlineMs);
        return vm;
      } catch (error) {
        const text = `${vm.console()}${fs.readFileSync(path.join(dir, 'stderr'), 'utf8')}`;
        await vm[Symbol.asyncDispose]();
        if (attempt === bootAttempts)
          throw new Error(`the floor's VM did not boot; its console and error output end with: ${text.slice(-500)}`, {
            cause: error,
          });
      }
    }
  }

  static async #spawn(
    machine: FloorMachine,
    dir: string,
    ram: string,
    args: string[],
    incoming: number | undefined,
  ): Promise<FloorVm> {
    const log = fs.openSync(path.join(dir, 'stderr'), 'w');
    const child = spawn('qemu-system-x86_64', args, {
      cwd: dir,
      stdio: ['ignore', log, log, ...(incoming === undefined ? [] : [incoming])],
    });
    fs.closeSync(log);
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    const failed = ended.then(() => {
      throw new Error(`QEMU ended at once: ${fs.readFileSync(path.join(dir, 'stderr'), 'utf8').trim()}`);
    });
    try {
      return new FloorVm(
        machine,
        dir,
        ram,
        child,
        ended,
        await Promise.race([Qmp.connect(path.join(dir, 'qmp'), monitorDeadlineMs), failed]),
      );
    } catch (error) {
      child.kill('SIGKILL');
      await ended;
      throw error;
    }
  }

  /** Waits until the state is loaded, then lets the CPUs run. */
  async #run(): Promise<void> {
    const end = performance.now() + startDeadlineMs;
    for (;;) {
      const { status } = (await this.qmp.command('query-status')) as { status: string };
      if (status === 'running') return;
      if (status !== 'inmigrate') break;
      if (performance.now() > end) throw new Error('QEMU did not load the state in time');
      await sleep(1);
    }
    await this.qmp.command('cont');
  }

  /** The session to the agent; connects when there is none. */
  async agent(): Promise<AgentClient> {
    this.#agent ??= await AgentClient.connect(path.join(this.dir, 'agent'), monitorDeadlineMs);
    return this.#agent;
  }

  async run(...argv: string[]): Promise<Answer> {
    return (await this.agent()).run(argv);
  }

  /** Ends the session and waits until the guest has noticed: a guest captured in the middle of one would take the next session's first bytes for the old one's. */
  async disconnect(): Promise<void> {
    if (!this.#agent) return;
    const before = this.#waits();
    this.#agent.close();
    this.#agent = undefined;
    await this.waiting(before + 1, monitorDeadlineMs);
  }

  /** Until the agent has said so many times that it waits for the host. */
  async waiting(times: number, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (this.#waits() < times) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null)
        throw new Error(`QEMU ended (${this.#process.signalCode ?? this.#process.exitCode})`);
      if (performance.now() > end)
        throw new Error(`the floor's agent does not wait for the host after ${deadlineMs} ms`);
      await sleep(5);
    }
  }

  console(): string {
    return fs.readFileSync(path.join(this.dir, 'console'), { encoding: 'utf8', flag: 'a+' });
  }

  #waits(): number {
    return this.console().split(waitsMark).length - 1;
  }

  /** Asks QEMU to quit and waits until the process is gone. */
  async quit(): Promise<void> {
    this.#agent?.close();
    // It answers or is gone already; either way the process ends below.
    void this.qmp.command('quit').catch(() => undefined);
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), quitDeadlineMs);
    await this.#ended;
    clearTimeout(timer);
    this.qmp.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quit();
    this.#machine.live.delete(this);
    await fsp.rm(this.dir, { recursive: true, force: true });
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
