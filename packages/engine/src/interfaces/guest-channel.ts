import type {
  ExitPayload,
  GuestPortLine,
  GuestProcess,
  GuestStats,
  ProcessSpec,
  ResumeEvent,
  SignalName,
  StartedPayload,
} from '@sylph/model';
import type { GuestCalls } from './guest-calls.ts';
import type { GuestConnection } from './guest-connection.ts';
import type { GuestServices } from './guest-services.ts';
import type { GuestFiles } from './guest-files.ts';
import type { GuestSockets } from './guest-sockets.ts';

/** What the agent says of itself. Texts are cleaned and cut. */
export interface GuestHello {
  version: number;
  agent: string;
  kernel: string;
  bootId: string;
}

/** Reaches the agents of VMs. */
export interface ChannelFactory {
  /**
   * Connects the control port and waits until the agent answers `hello` with `ready`. Rejects with `agent_failed` at the deadline.
   * Nothing is assumed of what lies in the rings: a restored guest may hold half of an earlier conversation.
   */
  connect(
    sockets: { data: string; control: string },
    options: { deadlineMs: number; signal: AbortSignal },
  ): Promise<GuestChannel>;
  /** As {@link connect} and {@link GuestChannel.resume} in one step, for a guest that starts from its memory: it answers at once, so the event is the first it hears. */
  wake(
    sockets: { data: string; control: string },
    event: ResumeEvent,
    options: { deadlineMs: number; signal: AbortSignal },
  ): Promise<GuestChannel>;
}

/**
 * A conversation with one guest. The guest is hostile: every length is capped, every answer checked, every wait has a deadline.
 * Calls after the channel broke reject with `agent_failed`.
 */
export interface GuestChannel extends AsyncDisposable {
  readonly hello: GuestHello;
  /** Settles with the reason when the data session broke without `close`. Never rejects. A channel that is closed never settles it. */
  readonly broken: Promise<string>;
  readonly files: GuestFiles;
  readonly services: GuestServices;
  readonly calls: GuestCalls;
  readonly sockets: GuestSockets;
  /** Tells the guest of its start and opens the data session. Until it resolves nothing else may be called. */
  resume(event: ResumeEvent, options: { deadlineMs: number }): Promise<void>;
  /** Opens the data session to a guest that runs on since before this daemon. */
  open(options: { deadlineMs: number }): Promise<void>;
  /** Flushes the guest's file systems. */
  quiesce(options: { deadlineMs: number }): Promise<void>;
  /** Ends all processes in the guest and flushes. */
  poweroff(options: { deadlineMs: number }): Promise<void>;
  /** Round trip through the data session. */
  ping(options: { deadlineMs: number }): Promise<void>;
  stats(): Promise<GuestStats>;
  processes(): Promise<GuestProcess[]>;
  /** Starts a process; see {@link ProcessStream.started}. */
  startProcess(spec: ProcessSpec): ProcessStream;
  /** Continues a process at an output offset. */
  attachProcess(id: string, offset: number): ProcessStream;
  signalProcess(id: string, signal: SignalName): Promise<void>;
  /** Forgets an exited process. Unknown ids are fine. */
  forgetProcess(id: string): Promise<void>;
  /**
   * Connects to a TCP port as a program of the guest would. `host` is a name or an address as the model's `portHost` lets through. Rejects with {@link GuestDialError} when there is no connection, with
   * the reason of `signal`, and with `agent_failed` as all calls.
   */
  dial(target: { host: string; port: number }, options: { signal: AbortSignal }): Promise<GuestConnection>;
  /**
   * All TCP ports somebody listens on, then each change, looked for at most once a second while anybody watches. At most the model's `maxGuestPorts` are open at once. Ends when `signal` fires; throws `agent_failed`
   * when the channel broke or the guest says what makes no sense.
   */
  watchPorts(options: { signal: AbortSignal }): AsyncIterable<GuestPortLine>;
  /** Closes both ports; the guest is left as it is. Idempotent. */
  close(): Promise<void>;
}

/** What comes out of a process, in order. `exit` is the last. */
export type ProcessEvent =
  | { type: 'output'; stream: 'stdout' | 'stderr'; offset: number; bytes: Buffer }
  | { type: 'stdin-ack'; offset: number }
  | { type: 'exit'; exit: ExitPayload };

/** One process's stream. Breaking it leaves the process alone. */
export interface ProcessStream {
  /** Resolves when the process runs. Rejects with {@link ProcessStartError} when it could not be started, with `agent_failed` when the channel broke first. */
  readonly started: Promise<StartedPayload>;
  /** One consumer. Reading is what lets more come: stop reading and the guest's process blocks. Throws `agent_failed` when the stream broke before `exit`. */
  readonly events: AsyncIterable<ProcessEvent>;
  /** Resolves when more may be written. */
  writeStdin(offset: number, bytes: Uint8Array): Promise<void>;
  endStdin(offset: number): void;
  /** Output before `offset` is journalled; the guest may forget it. */
  ack(offset: number): void;
  resize(size: { cols: number; rows: number }): void;
  signal(signal: SignalName): void;
  /** Lets go of the stream. Idempotent. */
  close(): void;
}

/** The guest could not start a process: errno name and text as the agent gave them. */
export class ProcessStartError extends Error {
  readonly errno: string;

  constructor(errno: string, message: string) {
    super(message);
    this.name = 'ProcessStartError';
    this.errno = errno;
  }
}
