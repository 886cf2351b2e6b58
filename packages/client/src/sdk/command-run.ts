import type { SylphClient } from '../client.ts';
import { deferred } from '../deferred.ts';
import { ClientError } from '../errors.ts';
import type { ServerMessage } from '../exec/messages.ts';
import type { ExecSession } from '../exec/session.ts';
import { durationMs } from './duration.ts';
import type { SpawnOptions } from './types.ts';

/** Where a stream of output goes. */
export interface OutputSink {
  /** Resolves when more may come. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when a reader that listens has it all; without one at once. */
  end(): Promise<void>;
  fail(error: unknown): void;
}

/** What a platform's command object hears. */
export interface CommandSinks {
  stdout: OutputSink;
  stderr: OutputSink;
  /** A text message of the server, such as `port_opened`. */
  message(message: ServerMessage): void;
}

/** What to run. Without a program it has to be a session that is taken up. */
export interface CommandTarget {
  client: SylphClient;
  sprite: string;
  argv: readonly string[];
  options: SpawnOptions;
}

const defaultSize = { cols: 80, rows: 24 };

/** A command of the SDK's shape without its streams: opens a session, carries its output to the sinks, and knows how it ended. */
export class CommandRun {
  readonly #target: CommandTarget;
  readonly #sinks: CommandSinks;
  readonly #opened = deferred<ExecSession>();
  readonly #exit = deferred<number>();
  #session: ExecSession | undefined;
  #started = false;
  #code = -1;
  /** Waiting for the session. */
  #signals: string[] = [];
  #size: { cols: number; rows: number } | undefined;

  constructor(target: CommandTarget, sinks: CommandSinks) {
    this.#target = target;
    this.#sinks = sinks;
    // Who does not wait for them hears of a failure from the sinks.
    this.#opened.promise.catch(() => undefined);
    this.#exit.promise.catch(() => undefined);
  }

  /** Resolves when the server has named the session. Once. */
  async start(): Promise<void> {
    if (this.#started) throw new Error('the command was started already');
    this.#started = true;
    try {
      const session = await openCommand(this.#target, (message) => this.#sinks.message(message));
      this.#session = session;
      for (const signal of this.#signals) session.kill(signal);
      if (this.#size !== undefined) session.resize(this.#size);
      this.#opened.resolve(session);
      void this.#carry(session);
    } catch (thrown) {
      this.#opened.reject(thrown);
      this.#fail(thrown);
      throw thrown;
    }
  }

  /** The exit code; rejects with what ended the session instead. */
  get exit(): Promise<number> {
    return this.#exit.promise;
  }

  /** -1 until it has exited. */
  get code(): number {
    return this.#code;
  }

  /** The session; undefined until it is named. */
  get session(): ExecSession | undefined {
    return this.#session;
  }

  /** Waits for the session; resolves when more may be written. */
  async write(bytes: Uint8Array): Promise<void> {
    await (await this.#opened.promise).stdin.write(bytes);
  }

  async end(): Promise<void> {
    await (await this.#opened.promise).stdin.end();
  }

  kill(signal: string): void {
    if (this.#session === undefined) this.#signals.push(signal);
    else this.#session.kill(signal);
  }

  resize(cols: number, rows: number): void {
    this.#size = { cols, rows };
    this.#session?.resize(this.#size);
  }

  async #carry(session: ExecSession): Promise<void> {
    try {
      for await (const { stream, bytes } of session.output) await this.#sinks[stream].write(bytes);
      const { code } = await session.exit;
      this.#code = code;
      await Promise.all([this.#sinks.stdout.end(), this.#sinks.stderr.end()]);
      this.#exit.resolve(code);
    } catch (thrown) {
      this.#fail(thrown);
      session.detach();
    }
  }

  #fail(error: unknown): void {
    this.#exit.reject(error);
    this.#sinks.stdout.fail(error);
    this.#sinks.stderr.fail(error);
  }
}

/** Opens the session of a command. An abort ends the command, as far as there is a connection to say so. */
export async function openCommand(
  { client, sprite, argv, options }: CommandTarget,
  onMessage?: (message: ServerMessage) => void,
): Promise<ExecSession> {
  const { signal, sessionId } = options;
  let session: ExecSession | undefined;
  // Ahead of the session's own listener, which ends the connection.
  const abort = (): void => session?.kill('TERM');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const watch = { signal, onMessage };
    session =
      sessionId === undefined
        ? await client.exec(sprite, { ...watch, ...commandOf(argv, options) })
        : await client.attach(sprite, sessionId, { ...watch, stdin: options.stdin ?? true });
  } catch (thrown) {
    signal?.removeEventListener('abort', abort);
    throw thrown;
  }
  const over = (): void => signal?.removeEventListener('abort', abort);
  session.exit.then(over, over);
  return session;
}

function commandOf(argv: readonly string[], options: SpawnOptions): Parameters<SylphClient['exec']>[1] {
  const { cwd, env, tty, cols, rows, detachable } = options;
  if (argv[0] === undefined || argv[0] === '')
    throw new ClientError('invalid_request', 'there is no command to run', { hint: 'name a program' });
  return {
    cmd: argv,
    dir: cwd,
    env,
    tty: tty === true ? { cols: cols ?? defaultSize.cols, rows: rows ?? defaultSize.rows } : undefined,
    stdin: options.stdin ?? true,
    maxRunAfterDisconnectMs: durationMs(options.maxRunAfterDisconnect) ?? (detachable === true ? 0 : undefined),
  };
}
