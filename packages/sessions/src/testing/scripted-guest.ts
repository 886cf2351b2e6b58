import { type GuestChannel, type ProcessEvent, ProcessStartError, type ProcessStream } from '@sylph/engine';
import {
  type ExitPayload,
  type GuestProcess,
  type ProcessSpec,
  type SignalName,
  type StartedPayload,
  SylphError,
} from '@sylph/model';
import type { JournaledSessions } from '../sprite-sessions.ts';
import type { SessionsFixture } from './fixture.ts';

type Output = Extract<ProcessEvent, { type: 'output' }>;

/** A process of a scripted guest: prints and exits when a test says so, keeps what is not acknowledged as a real agent does. */
export class ScriptedProcess {
  readonly spec: ProcessSpec;
  output: Output[] = [];
  produced = 0;
  acked = 0;
  input = '';
  inputReceived = 0;
  inputWritten = 0;
  /** The process reads its input; otherwise it is received and not acknowledged. */
  readsInput = true;
  eof = false;
  size: { cols: number; rows: number } | null;
  signals: SignalName[] = [];
  exit: ExitPayload | undefined;
  /** What a signal does. */
  onSignal: (signal: SignalName) => void = () => {};
  stream: ScriptedStream | undefined;

  constructor(spec: ProcessSpec) {
    this.spec = spec;
    this.size = spec.tty;
  }

  print(text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout'): this {
    const bytes = Buffer.from(text);
    const event: Output = { type: 'output', stream, offset: this.produced, bytes };
    this.output.push(event);
    this.produced += bytes.length;
    this.stream?.push(event);
    return this;
  }

  end(code = 0, signal: string | null = null): void {
    if (this.exit !== undefined) return;
    this.exit = { code, signal, outputOffset: this.produced };
    this.stream?.push({ type: 'exit', exit: this.exit });
  }

  /** Output from `offset` on; throws where a real agent has forgotten it. */
  from(offset: number): Output[] {
    if (offset < this.acked || offset > this.produced)
      throw new SylphError('agent_failed', 'offset is not within the kept output', { context: { guestStatus: 416 } });
    return this.output
      .filter((event) => event.offset + event.bytes.length > offset)
      .map((event) =>
        event.offset >= offset ? event : { ...event, offset, bytes: event.bytes.subarray(offset - event.offset) },
      );
  }

  ack(offset: number): void {
    if (offset > this.produced) throw new Error('acknowledged what was never sent');
    this.acked = Math.max(this.acked, offset);
    this.output = this.output.filter((event) => event.offset + event.bytes.length > this.acked);
  }

  take(offset: number, bytes: Uint8Array): void {
    if (offset > this.inputReceived) throw new Error('input skips an offset');
    const fresh = Buffer.from(bytes).subarray(this.inputReceived - offset);
    if (!this.eof) this.input += fresh.toString();
    this.inputReceived += fresh.length;
    if (this.readsInput) this.readInput();
  }

  /** Acknowledges all input received. */
  readInput(): void {
    this.inputWritten = this.inputReceived;
    this.stream?.push({ type: 'stdin-ack', offset: this.inputWritten });
  }
}

/** Stream of a scripted process. */
export class ScriptedStream implements ProcessStream {
  readonly started: Promise<StartedPayload>;
  readonly events: AsyncIterable<ProcessEvent>;
  readonly #process: ScriptedProcess | undefined;
  readonly #queue: ProcessEvent[] = [];
  #failure: unknown;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(process: ScriptedProcess | undefined, offset: number, failure?: unknown) {
    this.#process = process;
    this.events = this.#read();
    try {
      if (process === undefined) throw failure;
      for (const event of process.from(offset)) this.push(event);
      if (process.exit !== undefined) this.push({ type: 'exit', exit: process.exit });
      process.stream?.break('another stream took over');
      process.stream = this;
      this.started = Promise.resolve({
        pid: 100 + Number(process.spec.id),
        path: `/bin/${process.spec.path}`,
        inputOffset: process.inputReceived,
        outputOffset: offset,
      });
    } catch (error) {
      this.started = Promise.reject(error);
      this.started.catch(() => {});
      this.#fail(error);
    }
  }

  push(event: ProcessEvent): void {
    if (this.#over) return;
    this.#queue.push(event);
    this.#wake?.();
  }

  break(reason: string): void {
    this.#fail(new SylphError('agent_failed', reason));
  }

  async writeStdin(offset: number, bytes: Uint8Array): Promise<void> {
    if (!this.#over) this.#process?.take(offset, bytes);
  }

  endStdin(offset: number): void {
    if (this.#over || this.#process === undefined) return;
    if (offset !== this.#process.inputReceived) throw new Error('the end of input is elsewhere');
    this.#process.eof = true;
  }

  ack(offset: number): void {
    if (!this.#over) this.#process?.ack(offset);
  }

  resize(size: { cols: number; rows: number }): void {
    if (!this.#over && this.#process !== undefined) this.#process.size = size;
  }

  signal(signal: SignalName): void {
    if (!this.#over) this.#process?.signals.push(signal);
  }

  close(): void {
    this.break('closed');
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = error;
    if (this.#process?.stream === this) this.#process.stream = undefined;
    this.#wake?.();
  }

  async *#read(): AsyncGenerator<ProcessEvent> {
    for (;;) {
      const event = this.#queue.shift();
      if (event !== undefined) {
        yield event;
        if (event.type === 'exit') return;
      } else if (this.#over) throw this.#failure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** A guest in memory, with the promises of a real agent, that does what a test says. */
export class ScriptedGuest {
  processes = new Map<string, ScriptedProcess>();
  /** Called for each start; may throw a {@link ProcessStartError}. */
  onStart: (process: ScriptedProcess) => void = () => {};
  forgotten: string[] = [];
  /** Channels made and not broken. */
  #channels = new Set<{ breakWith(reason: string): void }>();

  process(id: string): ScriptedProcess {
    const process = this.processes.get(id);
    if (process === undefined) throw new Error(`no process ${id}`);
    return process;
  }

  breakStreams(): void {
    for (const process of this.processes.values()) process.stream?.break('the stream broke');
  }

  breakChannels(reason = 'the data port closed'): void {
    for (const channel of this.#channels) channel.breakWith(reason);
    this.#channels.clear();
  }

  /** The guest's memory of this instant. */
  snapshot(): Map<string, ScriptedProcess> {
    return new Map([...this.processes].map(([id, process]) => [id, copyOf(process)]));
  }

  /** Goes back to a snapshot, which stays usable. All channels break. */
  restore(snapshot: Map<string, ScriptedProcess>): void {
    this.breakStreams();
    this.breakChannels('the VM was replaced');
    this.processes = new Map([...snapshot].map(([id, process]) => [id, copyOf(process)]));
  }

  connect(): GuestChannel {
    const { promise: broken, resolve } = Promise.withResolvers<string>();
    let over: string | undefined;
    const handle = {
      breakWith: (reason: string) => {
        over = reason;
        this.breakStreams();
        resolve(reason);
      },
    };
    this.#channels.add(handle);
    const usable = () => {
      if (over !== undefined) throw new SylphError('agent_failed', over);
    };
    const nothing = async () => {};
    return {
      hello: { version: 1, agent: 'scripted', kernel: '', bootId: '' },
      broken,
      // Sessions have nothing to do with files.
      files: undefined as never,
      // Nor with services, calls and sockets.
      services: undefined as never,
      calls: undefined as never,
      sockets: undefined as never,
      resume: nothing,
      open: nothing,
      quiesce: nothing,
      poweroff: nothing,
      ping: nothing,
      stats: () => Promise.reject(new Error('not scripted')),
      processes: async () => {
        usable();
        return [...this.processes.values()].map(describe);
      },
      startProcess: (spec) => {
        usable();
        const process = new ScriptedProcess(spec);
        try {
          this.onStart(process);
        } catch (error) {
          return new ScriptedStream(undefined, 0, error);
        }
        this.processes.set(spec.id, process);
        return new ScriptedStream(process, 0);
      },
      attachProcess: (id, offset) => {
        usable();
        return new ScriptedStream(
          this.processes.get(id),
          offset,
          new SylphError('session_not_found', 'no such process'),
        );
      },
      signalProcess: async (id, signal) => {
        usable();
        const process = this.processes.get(id);
        if (process === undefined) throw new SylphError('session_not_found', 'no such process');
        if (process.exit !== undefined) throw new SylphError('session_exited', 'exited');
        process.signals.push(signal);
        process.onSignal(signal);
        if (signal === 'KILL') process.end(137, 'KILL');
      },
      forgetProcess: async (id) => {
        usable();
        if (this.processes.get(id)?.exit === undefined && this.processes.has(id))
          throw new SylphError('illegal_state', 'it runs');
        if (this.processes.delete(id)) this.forgotten.push(id);
      },
      dial: () => Promise.reject(new Error('not scripted')),
      watchPorts: () => {
        throw new Error('not scripted');
      },
      close: nothing,
      [Symbol.asyncDispose]: nothing,
    };
  }
}

/** A start that fails as a real agent's would. */
export function failedStart(errno: string, text: string): ProcessStartError {
  return new ProcessStartError(errno, text);
}

function describe(process: ScriptedProcess): GuestProcess {
  return {
    id: process.spec.id,
    pid: 100 + Number(process.spec.id),
    tty: process.spec.tty !== null,
    exited: process.exit !== undefined,
    outputOffset: process.produced,
    acked: process.acked,
    inputOffset: process.inputReceived,
  };
}

function copyOf(process: ScriptedProcess): ScriptedProcess {
  return Object.assign(new ScriptedProcess(process.spec), process, {
    output: [...process.output],
    signals: [...process.signals],
    stream: undefined,
  });
}

/** A guest, and the sessions of a fixture connected to it. */
export async function connected(
  fixture: SessionsFixture,
): Promise<{ guest: ScriptedGuest; sessions: JournaledSessions }> {
  const guest = new ScriptedGuest();
  const sessions = await fixture.open();
  await sessions.connect(guest.connect());
  return { guest, sessions };
}
