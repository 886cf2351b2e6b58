import { deferred, type Deferred } from '../deferred.ts';
import type { ServerMessage } from '../exec/messages.ts';
import { CommandRun, type CommandTarget, type OutputSink } from '../sdk/command-run.ts';

/** Output that is kept for a stream nobody has begun to read; then the command is held back until somebody does. */
const unheededBytes = 16 * 2 ** 20;

/** What a command tells. `message`: a text message of the server, such as `port_opened`. */
interface CommandListeners {
  spawn: () => void;
  exit: (code: number) => void;
  error: (error: unknown) => void;
  message: (message: ServerMessage) => void;
}

/** A command of a sprite with the streams of the web. Its output comes as in Node: to its end before {@link SpriteCommand.wait}, and held back when somebody reads slowly, or 16 MiB behind when nobody reads. */
export class SpriteCommand {
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly #run: CommandRun;
  readonly #listeners: { [Event in keyof CommandListeners]: Set<CommandListeners[Event]> } = {
    spawn: new Set(),
    exit: new Set(),
    error: new Set(),
    message: new Set(),
  };

  constructor(target: CommandTarget) {
    const stdout = outputStream();
    const stderr = outputStream();
    this.stdout = stdout.stream;
    this.stderr = stderr.stream;
    const run = new CommandRun(target, {
      stdout: stdout.sink,
      stderr: stderr.sink,
      message: (message) => this.#listeners.message.forEach((tell) => tell(message)),
    });
    this.#run = run;
    this.stdin = new WritableStream<Uint8Array>({ write: (bytes) => run.write(bytes), close: () => run.end() });
    run.exit.then(
      (code) => this.#listeners.exit.forEach((tell) => tell(code)),
      // Who listens for no errors gets them from `wait`.
      (error: unknown) => this.#listeners.error.forEach((tell) => tell(error)),
    );
  }

  on<Event extends keyof CommandListeners>(event: Event, listener: CommandListeners[Event]): this {
    this.#listeners[event].add(listener);
    return this;
  }

  once<Event extends keyof CommandListeners>(event: Event, listener: CommandListeners[Event]): this {
    const first = ((...told: Parameters<CommandListeners[Event]>) => {
      this.off(event, first);
      (listener as (...told: Parameters<CommandListeners[Event]>) => void)(...told);
    }) as CommandListeners[Event];
    return this.on(event, first);
  }

  off<Event extends keyof CommandListeners>(event: Event, listener: CommandListeners[Event]): this {
    this.#listeners[event].delete(listener);
    return this;
  }

  /** Starts it; `spawn` of a sprite has done so. */
  async start(): Promise<void> {
    await this.#run.start();
    this.#listeners.spawn.forEach((tell) => tell());
  }

  /** Starts it; a failure is told by `error` and {@link wait}. */
  spawn(): this {
    this.start().catch(() => undefined); // It is what `wait` rejects with.
    return this;
  }

  /** Its exit code: 128 + n for a command ended by signal n, of a terminal too. Rejects when nobody can tell: `session_lost`, `connection_lost`, the reason of a signal. */
  wait(): Promise<number> {
    return this.#run.exit;
  }

  /** Sends a signal, with or without `SIG`. Before it runs, it gets it as soon as it does. */
  kill(signal = 'SIGTERM'): void {
    this.#run.kill(signal);
  }

  /** {@link kill}, of the signal that is named. */
  signal(signal: string): void {
    this.#run.kill(signal);
  }

  /** Size of its terminal. */
  resize(cols: number, rows: number): void {
    this.#run.resize(cols, rows);
  }

  /** -1 until it has exited. */
  exitCode(): number {
    return this.#run.code;
  }

  /** Id of its session, to attach to it; empty until the server has named it. */
  get sessionId(): string {
    return this.#run.session?.id ?? '';
  }
}

/** A stream of output and the end that is written to. */
function outputStream(): { stream: ReadableStream<Uint8Array>; sink: OutputSink } {
  let control: ReadableStreamDefaultController<Uint8Array> | undefined;
  let wanted: Deferred<void> | undefined;
  let left = false;
  let waitingBytes = 0;
  const want = (): void => wanted?.resolve();
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (controller) => void (control = controller),
      pull() {
        waitingBytes = 0;
        want();
      },
      cancel() {
        left = true;
        want();
      },
    },
    { highWaterMark: 0 },
  );
  const sink: OutputSink = {
    async write(bytes) {
      if (left) return;
      control?.enqueue(bytes);
      waitingBytes += bytes.length;
      if ((control?.desiredSize ?? 0) >= 0 && stream.locked) return;
      if (!stream.locked && waitingBytes < unheededBytes) return;
      wanted = deferred();
      await wanted.promise;
    },
    async end() {
      if (!left) control?.close();
    },
    fail(error) {
      if (!left) control?.error(error);
      want();
    },
  };
  return { stream, sink };
}
