import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { CommandRun, type CommandTarget, type OutputSink } from '../sdk/command-run.ts';

/** Output that is kept for a stream nobody has begun to read; then the command is held back until somebody does. */
const unheededBytes = 16 * 2 ** 20;

/** Events of a command: `message` are text messages of the server, such as `port_opened`. */
interface CommandEvents {
  spawn: [];
  exit: [code: number];
  error: [error: Error];
  message: [message: { type: string } & Record<string, unknown>];
}

/**
 * A command of a sprite, shaped like a child process. `exit` and {@link SpriteCommand.wait} come after the last byte of output is in the streams. Output somebody reads slowly holds the command back; a stream that nobody
 * reads does so after 16 MiB. A dropped connection is taken up again without a byte lost or doubled.
 */
export class SpriteCommand extends EventEmitter<CommandEvents> {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly #run: CommandRun;
  #waitedFor = false;

  constructor(target: CommandTarget) {
    super();
    const stdout = outputStream();
    const stderr = outputStream();
    this.stdout = stdout.stream;
    this.stderr = stderr.stream;
    const run = new CommandRun(target, {
      stdout: stdout.sink,
      stderr: stderr.sink,
      message: (message) => this.emit('message', message),
    });
    this.#run = run;
    this.stdin = new Writable({
      decodeStrings: true,
      write: (bytes: Buffer, _encoding, done) => void run.write(bytes).then(() => done(), done),
      final: (done) => void run.end().then(() => done(), done),
    });
    // A session that failed tells by `error` and `wait`.
    this.stdin.on('error', () => undefined);
    run.exit.then(
      (code) => this.emit('exit', code),
      (error: unknown) => {
        // As of a child process: an error that nobody asked for is not swallowed.
        if (this.listenerCount('error') > 0 || !this.#waitedFor) this.emit('error', asError(error));
      },
    );
  }

  /** Starts it; `spawn` of a sprite has done so. */
  async start(): Promise<void> {
    this.#waitedFor = true;
    await this.#run.start();
    this.emit('spawn');
  }

  /** Starts it; a failure is told by `error`, or by {@link wait}. */
  spawn(): this {
    this.#run.start().then(
      () => this.emit('spawn'),
      () => undefined,
    );
    return this;
  }

  /** Its exit code: 128 + n for a command ended by signal n, of a terminal too. Rejects when nobody can tell: `session_lost`, `connection_lost`, the reason of a signal. */
  wait(): Promise<number> {
    this.#waitedFor = true;
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

/** A signal may give any reason. */
function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('the command was aborted', { cause: reason });
}

/** A stream of output and the end that is written to. */
function outputStream(): { stream: Readable; sink: OutputSink } {
  let wanted: (() => void) | undefined;
  const want = (): void => {
    wanted?.();
    wanted = undefined;
  };
  const stream = new Readable({ read: want, destroy: (error, done) => (want(), done(error)) });
  const heeded = (): boolean => stream.readableFlowing !== null || stream.listenerCount('readable') > 0;
  const sink: OutputSink = {
    async write(bytes) {
      if (stream.destroyed || stream.push(bytes)) return;
      if (!heeded() && stream.readableLength < unheededBytes) return;
      await new Promise<void>((resolve) => (wanted = resolve));
    },
    end: () =>
      new Promise((resolve) => {
        // A listener may be told of the last bytes a moment later; `exit` is to come behind them.
        for (const event of ['end', 'close', 'pause']) stream.once(event, () => resolve());
        stream.push(null);
        if (stream.readableFlowing !== true || stream.destroyed) resolve();
      }),
    // Told by the command; a stream that breaks by itself would end programs that listen there only.
    fail: () => void stream.destroy(),
  };
  return { stream, sink };
}
