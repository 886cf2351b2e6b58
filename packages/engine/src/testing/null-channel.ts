import path from 'node:path';
import { SylphError, type GuestProcess, type GuestStats, type ProcessSpec, type ResumeEvent } from '@sylph/model';
import type {
  ChannelFactory,
  GuestChannel,
  GuestHello,
  ProcessEvent,
  ProcessStream,
} from '../interfaces/guest-channel.ts';
import type { GuestFiles } from '../interfaces/guest-files.ts';
import type { GuestCalls } from '../interfaces/guest-calls.ts';
import type { GuestServices } from '../interfaces/guest-services.ts';
import type { GuestSockets } from '../interfaces/guest-sockets.ts';
import { guarded, type Gate } from './gate.ts';
import type { Machine, Machines } from './null-driver.ts';
import { nullFiles } from './null-files.ts';

/** {@link ChannelFactory} to the null driver's machines. */
export class NullChannels implements ChannelFactory {
  /** Channels not closed. */
  readonly open = new Set<NullChannel>();
  readonly #machines: Machines;
  readonly #gate: Gate;

  constructor(machines: Machines, gate: Gate) {
    this.#machines = machines;
    this.#gate = gate;
  }

  async connect(sockets: { data: string; control: string }): Promise<GuestChannel> {
    const machine = this.#machines.at(path.dirname(path.dirname(sockets.data)));
    if (!machine) throw new SylphError('agent_failed', 'nobody listens');
    const channel = new NullChannel(machine, this.open);
    this.open.add(channel);
    return guarded('channel', channel, this.#gate, ['startProcess', 'attachProcess', 'watchPorts']);
  }

  async wake(
    sockets: { data: string; control: string },
    event: ResumeEvent,
    options: { deadlineMs: number; signal: AbortSignal },
  ): Promise<GuestChannel> {
    const channel = await this.connect(sockets);
    try {
      await channel.resume(event, options);
      return channel;
    } catch (error) {
      await channel.close();
      throw error;
    }
  }
}

/** A conversation with a machine's guest. */
export class NullChannel implements GuestChannel {
  readonly machine: Machine;
  readonly hello: GuestHello = { version: 1, agent: 'null 1', kernel: 'null', bootId: 'null' };
  readonly broken: Promise<string>;
  readonly files: GuestFiles;
  /** Such a guest has no services. */
  readonly services: GuestServices = undefined as never;
  /** And its programs ask nothing. */
  readonly calls: GuestCalls = undefined as never;
  /** Nor sockets. */
  readonly sockets: GuestSockets = undefined as never;
  /** What the guest was told at its start. */
  resumed: ResumeEvent | undefined;
  readonly #open: Set<NullChannel>;
  readonly #break: (reason: string) => void;
  #usable = true;

  constructor(machine: Machine, open: Set<NullChannel>) {
    this.machine = machine;
    this.files = nullFiles(machine.files);
    this.#open = open;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.broken = promise;
    this.#break = resolve;
    machine.onEnd(() => this.break('the VM is gone'));
  }

  /** Breaks the data session. */
  break(reason: string): void {
    if (!this.#usable) return;
    this.#usable = false;
    this.#break(reason);
  }

  async resume(event: ResumeEvent): Promise<void> {
    this.#mustWork();
    this.resumed = event;
  }

  async open(): Promise<void> {
    this.#mustWork();
  }

  async quiesce(): Promise<void> {
    this.#mustWork();
  }

  async poweroff(): Promise<void> {
    this.#mustWork();
    this.machine.memory.processes = [];
  }

  async ping(): Promise<void> {
    this.#mustWork();
  }

  async stats(): Promise<GuestStats> {
    this.#mustWork();
    return {
      memTotalBytes: 1,
      memAvailableBytes: 1,
      diskTotalBytes: 1,
      diskFreeBytes: 1,
      uptimeMs: 1,
      loadAverage1: 0,
      processes: 1,
    };
  }

  async processes(): Promise<GuestProcess[]> {
    this.#mustWork();
    return this.machine.memory.processes.map((id) => ({
      id,
      pid: 1,
      tty: false,
      exited: false,
      outputOffset: 0,
      acked: 0,
      inputOffset: 0,
    }));
  }

  startProcess(spec: ProcessSpec): ProcessStream {
    this.#mustWork();
    return new EndedStream(spec);
  }

  attachProcess(): ProcessStream {
    throw new Error('the engine attaches to no process');
  }

  async signalProcess(): Promise<void> {}

  async forgetProcess(id: string): Promise<void> {
    this.#mustWork();
    this.machine.memory.processes = this.machine.memory.processes.filter((process) => process !== id);
  }

  dial(): Promise<never> {
    throw new Error('the engine dials nobody');
  }

  watchPorts(): AsyncIterable<never> {
    throw new Error('the engine watches no ports');
  }

  async close(): Promise<void> {
    this.#usable = false;
    this.#open.delete(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #mustWork(): void {
    if (!this.#usable || !this.machine.alive) throw new SylphError('agent_failed', 'the channel is broken');
    if (this.machine.paused) throw new SylphError('agent_failed', 'the guest stands still');
  }
}

/** A process that ends at once. */
class EndedStream implements ProcessStream {
  readonly started: ProcessStream['started'];
  readonly events: AsyncIterable<ProcessEvent> = exitOnly();

  constructor(spec: ProcessSpec) {
    this.started = Promise.resolve({ pid: 1, path: spec.path, inputOffset: 0, outputOffset: 0 });
  }

  async writeStdin(): Promise<void> {}
  endStdin(): void {}
  ack(): void {}
  resize(): void {}
  signal(): void {}
  close(): void {}
}

async function* exitOnly(): AsyncIterable<ProcessEvent> {
  yield { type: 'exit', exit: { code: 0, signal: null, outputOffset: 0 } };
}
