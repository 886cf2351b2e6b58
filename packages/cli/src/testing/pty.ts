import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const harness = fileURLToPath(new URL('pty_harness.py', import.meta.url));
const patienceMs = 60_000;

/** How a program on a terminal ended. `code` is negative for a signal; `same` tells whether the line discipline is as before. */
export interface PtyEnd {
  code: number;
  same: boolean;
}

type Report =
  | { type: 'output'; bytes: string }
  | { type: 'started'; pid: number }
  | { type: 'stopped'; same: boolean }
  | { type: 'termios'; same: boolean; raw: boolean }
  | ({ type: 'ended' } & PtyEnd);

/** A program on a terminal of its own, for tests. */
export class Pty implements AsyncDisposable {
  /** Everything the program wrote, latin1. */
  output = '';
  readonly ended: Promise<PtyEnd>;
  readonly #child: ChildProcess;
  readonly #reports: Report[] = [];
  #over = false;
  #changed = Promise.withResolvers<void>();

  constructor(argv: readonly string[], env: Record<string, string>, size: [cols: number, rows: number] = [80, 24]) {
    const child = spawn('python3', [harness], { stdio: ['pipe', 'pipe', 'inherit'] as const });
    this.#child = child;
    this.#child.stdin?.on('error', () => undefined); // Commands to a program that has ended.
    this.#tell({ argv, env, size });
    this.ended = (async () => {
      for await (const line of createInterface({ input: child.stdout })) {
        const report = JSON.parse(line) as Report;
        if (report.type === 'output') this.output += Buffer.from(report.bytes, 'base64').toString('latin1');
        else this.#reports.push(report);
        this.#over = report.type === 'ended';
        this.#changed.resolve();
        this.#changed = Promise.withResolvers();
        if (report.type === 'ended') return report;
      }
      this.#over = true;
      this.#changed.resolve();
      throw new Error('the terminal harness ended without a report');
    })();
    this.ended.catch(() => undefined); // Who waits for something else is told by its deadline.
  }

  /** Waits until the output, from `from` on, matches. */
  async expect(pattern: RegExp | string, from = 0): Promise<void> {
    const matches = (): boolean =>
      typeof pattern === 'string' ? this.output.slice(from).includes(pattern) : pattern.test(this.output.slice(from));
    await this.#until(matches, () => `the output ${String(pattern)}; so far: ${JSON.stringify(this.output)}`);
  }

  send(text: string): void {
    this.#tell({ type: 'send', bytes: Buffer.from(text, 'latin1').toString('base64') });
  }

  signal(name: string): void {
    this.#tell({ type: 'signal', name });
  }

  resize(cols: number, rows: number): void {
    this.#tell({ type: 'resize', size: [cols, rows] });
  }

  /** The line discipline now. */
  async termios(): Promise<{ same: boolean; raw: boolean }> {
    const count = this.#reports.length;
    this.#tell({ type: 'termios' });
    return this.#report('termios', count);
  }

  /** Waits until the program has taken the keyboard over. */
  async raw(): Promise<void> {
    while (!(await this.termios()).raw) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Waits until the program is stopped by a signal. */
  stopped(): Promise<{ same: boolean }> {
    return this.#report('stopped', 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await new Promise((resolve) => this.#child.once('close', resolve));
  }

  async #report<T extends Report['type']>(type: T, from: number): Promise<Extract<Report, { type: T }>> {
    const find = (): Report | undefined => this.#reports.slice(from).find((report) => report.type === type);
    await this.#until(
      () => find() !== undefined,
      () => `a report of ${type}`,
    );
    return find() as Extract<Report, { type: T }>;
  }

  async #until(holds: () => boolean, what: () => string): Promise<void> {
    const deadline = Date.now() + patienceMs;
    while (!holds()) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0 || this.#over)
        throw new Error(`waited ${this.#over ? 'until the end' : `${patienceMs} ms`} for ${what()}`);
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([this.#changed.promise, new Promise((resolve) => (timer = setTimeout(resolve, leftMs)))]);
      clearTimeout(timer);
    }
  }

  #tell(command: object): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }
}
