import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guardian } from './guardian.ts';
import { ModeTracker } from './mode-tracker.ts';

/** Signals that end us with the terminal put back; they are then raised again, so that the parent sees what happened. */
const deadly = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const;

/** Time for reports that the terminal had sent before it was told to stop. */
const lateReportsMs = 30;

/** It answers in milliseconds; without it the terminal still works for most programs. */
const sttyMs = 2000;

/** Attempts to write to a terminal that is full, and the wait between them: at most a second. */
const writeAttempts = 100;
const writeWaitMs = 10;

/** A line of our own waits until the program has been quiet for so long. */
const remarkQuietMs = 150;
/** Most lines of our own that wait. */
const maxRemarks = 16;

/**
 * The person's terminal while it is lent to a program elsewhere. From {@link enter} on every key goes to the program; {@link restore} puts back the line discipline as it
 * was and undoes what the program's output left behind. However the process ends, that happens: at its exit, by a deadly signal, by an error nobody caught; and when it is killed,
 * a {@link Guardian} does it.
 */
export class LocalTerminal {
  readonly #stdin: NodeJS.ReadStream;
  readonly #stdout: NodeJS.WriteStream & { fd: number };
  readonly #tracker = new ModeTracker();
  readonly #handlers: [string, () => void][];
  #raw = false;
  #restored = false;
  #onResume: (() => void) | undefined;
  #guardian: Guardian | undefined;
  readonly #remarks: { text: string; lasting: boolean }[] = [];
  #quiet: NodeJS.Timeout | undefined;

  constructor(stdin: NodeJS.ReadStream = process.stdin, stdout: NodeJS.WriteStream & { fd: number } = process.stdout) {
    this.#stdin = stdin;
    this.#stdout = stdout;
    this.#handlers = [
      ['exit', () => this.#putBack()],
      ...deadly.map((name): [string, () => void] => [name, () => this.#dieOf(name)]),
      ['SIGTSTP', () => this.#stop()],
      ['SIGCONT', () => this.#continue()],
    ];
  }

  /** Both ends are one: a person can be put through. */
  get isInteractive(): boolean {
    return this.#stdin.isTTY && this.#stdout.isTTY;
  }

  get size(): { cols: number; rows: number } {
    const { columns, rows } = this.#stdout.isTTY ? this.#stdout : { columns: 0, rows: 0 };
    // Some terminals do not know their size.
    return { cols: columns || 80, rows: rows || 24 };
  }

  /** Hands the keyboard over. `onResume` is called when the process comes back after being stopped: the program has to redraw. */
  enter(onResume: () => void): void {
    this.#onResume = onResume;
    this.#guardian = this.isInteractive ? new Guardian() : undefined;
    this.#guardian?.tell('');
    for (const [name, handler] of this.#handlers) process.on(name, handler);
    this.#setRaw(true);
  }

  /** Shows a line of our own, once the program is quiet and has not the whole screen. One that did not come to that is shown when the terminal is put back, if it is of use then: `lasting`. */
  remark(text: string, { lasting = false }: { lasting?: boolean } = {}): void {
    if (this.#remarks.length < maxRemarks) this.#remarks.push({ text, lasting });
    this.#remarkLater();
  }

  /** Writes the program's output; resolves when more may be written. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#remarks.length > 0) this.#remarkLater();
    if (this.#stdout.isTTY) {
      this.#tracker.feed(bytes);
      // Before the bytes are out: better to undo what was not done yet than to miss it.
      this.#guardian?.tell(this.#tracker.restore());
    }
    return new Promise((resolve) => {
      if (this.#stdout.write(bytes)) resolve();
      else this.#stdout.once('drain', resolve);
    });
  }

  /** Puts everything back; later calls do nothing. Reports of mouse and focus still on their way are swallowed, or the shell would take them for typing. */
  async restore(): Promise<void> {
    clearTimeout(this.#quiet);
    const late = this.#tracker.reporting;
    this.#writeBack();
    this.#say(this.#remarks.splice(0).filter(({ lasting }) => lasting));
    if (late && this.#raw) {
      const drop = (): void => undefined;
      this.#stdin.on('data', drop);
      this.#stdin.resume();
      await sleep(lateReportsMs);
      this.#stdin.off('data', drop);
    }
    this.#stdin.pause();
    this.#setRaw(false);
    this.#guardian?.end();
    for (const [name, handler] of this.#handlers) process.off(name, handler);
    this.#onResume = undefined;
  }

  #remarkLater(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      if (this.#restored || !this.#tracker.interruptible) return;
      this.#say(this.#remarks.splice(0));
    }, remarkQuietMs).unref();
  }

  #say(remarks: readonly { text: string }[]): void {
    for (const { text } of remarks) this.#stdout.write(`\r\n${text}\r\n`);
  }

  #putBack(): void {
    this.#writeBack();
    this.#setRaw(false);
    this.#guardian?.end();
  }

  #writeBack(): void {
    if (this.#restored || !this.#stdout.isTTY) return;
    this.#restored = true;
    writeNow(this.#stdout.fd, this.#tracker.restore());
  }

  #setRaw(raw: boolean): void {
    if (!this.#stdin.isTTY || this.#raw === raw) return;
    this.#raw = raw;
    try {
      this.#stdin.setRawMode(raw);
      // Node's raw mode goes on translating line feeds on output, which a program that moves the cursor with them does not survive. Leaving raw mode undoes this too.
      if (raw)
        spawnSync('stty', ['raw', '-echo', '-iexten'], { stdio: ['inherit', 'ignore', 'ignore'], timeout: sttyMs });
    } catch {
      // The terminal is gone (SIGHUP): there is nothing left to put back.
    }
  }

  #dieOf(name: (typeof deadly)[number]): void {
    this.#putBack();
    for (const [event, handler] of this.#handlers) process.off(event, handler);
    process.kill(process.pid, name);
  }

  /** Somebody stops us from outside (the keyboard's Ctrl+Z goes to the program): the shell gets its terminal back meanwhile. */
  #stop(): void {
    if (this.#stdout.isTTY) writeNow(this.#stdout.fd, this.#tracker.restore());
    this.#setRaw(false);
    process.kill(process.pid, 'SIGSTOP');
  }

  #continue(): void {
    if (this.#onResume === undefined) return;
    this.#setRaw(true);
    if (this.#stdout.isTTY) writeNow(this.#stdout.fd, this.#tracker.reapply());
    this.#onResume();
  }
}

/** Writes without the event loop: it may never run again. */
function writeNow(fd: number, text: string): void {
  let rest = Buffer.from(text, 'latin1');
  for (let attempt = 0; rest.length > 0 && attempt < writeAttempts; attempt++) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (thrown) {
      // A terminal that is gone needs nothing; one that is full gets another chance.
      if ((thrown as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, writeWaitMs);
    }
  }
}
