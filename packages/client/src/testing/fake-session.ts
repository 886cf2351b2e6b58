import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import type { WebSocket } from 'ws';

/** Query of a command, as the wire has it. */
export interface FakeCommand {
  argv: string[];
  env: Record<string, string>;
  dir: string | undefined;
  tty: boolean;
  stdin: boolean;
}

/** A command of the fake server: a real local process whose output is kept whole, so that clients can come back at any offset. */
export class FakeSession {
  readonly id: string;
  readonly command: FakeCommand;
  readonly createdAt = new Date();
  readonly resizes: { cols: number; rows: number }[] = [];
  readonly signals: string[] = [];
  readonly sockets = new Set<WebSocket>();
  inputBytes = 0;
  exitCode: number | undefined;
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  readonly #journal: { stream: 1 | 2; bytes: Buffer }[] = [];
  #length = 0;
  readonly #inputClosed = Promise.withResolvers<void>();
  #watchers = new Set<() => void>();

  constructor(id: string, command: FakeCommand) {
    this.id = id;
    this.command = command;
    const [program = 'true', ...rest] = command.argv;
    const env = { PATH: process.env['PATH'] ?? '', ...command.env };
    this.#child = spawn(program, rest, {
      env,
      cwd: command.dir,
      stdio: [command.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const [pipe, stream] of [
      [this.#child.stdout, 1],
      [this.#child.stderr, 2],
    ] as const) {
      pipe?.on('data', (bytes: Buffer) => this.#append(stream, bytes));
    }
    // A program that ended early takes no more input.
    this.#child.stdin?.on('error', () => undefined).on('close', this.#inputClosed.resolve);
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => this.#append(2, Buffer.from(`${error.message}\n`)));
      this.#child.on('close', (code, signal) => {
        this.exitCode = signal !== null ? 128 + constants.signals[signal] : code !== null && code >= 0 ? code : 127;
        resolve(this.exitCode);
        this.#tell();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  signal(name: string): void {
    this.signals.push(name);
    if (this.exitCode === undefined && this.pid > 0)
      process.kill(-this.pid, `SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals);
  }

  /** Resolves when the process has taken it: back-pressure. */
  async write(bytes: Buffer): Promise<void> {
    this.inputBytes += bytes.length;
    const stdin = this.#child.stdin;
    if (stdin === null || stdin.destroyed || this.exitCode !== undefined) return;
    if (!stdin.write(bytes))
      await Promise.race([
        new Promise((resolve) => stdin.once('drain', resolve)),
        this.#inputClosed.promise,
        this.exited,
      ]);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  /** Output from an offset, then live, until the command's end. */
  async *read(offset: number, alive: () => boolean): AsyncGenerator<{ stream: 1 | 2; bytes: Buffer }, void, undefined> {
    let start = 0;
    for (let index = 0; alive();) {
      const entry = this.#journal[index];
      if (entry !== undefined) {
        const skip = Math.max(0, offset - start);
        if (skip < entry.bytes.length) yield { stream: entry.stream, bytes: entry.bytes.subarray(skip) };
        start += entry.bytes.length;
        index++;
      } else if (this.exitCode !== undefined) return;
      else {
        const told = Promise.withResolvers<void>();
        this.#watchers.add(told.resolve);
        await told.promise;
      }
    }
  }

  /** Wakes readers, so that they see that their client left. */
  wake(): void {
    this.#tell();
  }

  get length(): number {
    return this.#length;
  }

  #append(stream: 1 | 2, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += 16_384)
      this.#journal.push({ stream, bytes: bytes.subarray(at, at + 16_384) });
    this.#length += bytes.length;
    this.#tell();
  }

  #tell(): void {
    const watchers = this.#watchers;
    this.#watchers = new Set();
    for (const watcher of watchers) watcher();
  }
}
