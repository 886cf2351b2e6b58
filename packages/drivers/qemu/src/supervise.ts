import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { SylphError } from '@sylph/model/errors';

/** Bytes of error output kept for the error text. */
const maxStderrBytes = 8 * 1024;
/** How long a program may take to obey TERM, and to vanish after KILL, ms. */
const termGraceMs = 2_000;
const killGraceMs = 5_000;

/** How a program ended. Both null when nobody could see it: it was not our child. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A native program under our care: {@link supervise} makes one. */
export interface Supervised {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Settles once when the program is gone. Never rejects. */
  readonly exited: Promise<Exit>;
  /** No-op when it is gone: a pid that is somebody else's by now is never signalled. */
  signal(signal: number): void;
  /** Last lines of its error output, cleaned of control characters. */
  stderrTail(): string;
  /** Lets it run on without us: our process may end before it. */
  release(): void;
}

/** How to spawn; the environment is empty but for PATH. */
export interface SuperviseOptions {
  cwd?: string;
  uid?: number;
  gid?: number;
  /** stdin, stdout and further descriptors; stderr is always ours. Default: nothing. */
  stdin?: 'ignore' | 'pipe';
  stdout?: 'ignore' | 'pipe';
  /** Descriptors the program gets as 3, 4, …; they stay open here. */
  extraFds?: number[];
  /** A session of its own, so that no signal to ours reaches it. */
  detached?: boolean;
}

/**
 * Spawns a native program; every program of this package is spawned here.
 * Its error output comes through a pipe of which the tail is kept, so a talkative program costs no disk. A program that outlives us writes into a closed pipe.
 * Throws `host_unfit` when the binary is missing or may not be run.
 */
export async function supervise(
  command: string,
  args: readonly string[],
  options: SuperviseOptions = {},
): Promise<Supervised> {
  const stdio: StdioOptions = [
    options.stdin ?? 'ignore',
    options.stdout ?? 'ignore',
    'pipe',
    ...(options.extraFds ?? []),
  ];
  const child = spawn(command, args, {
    stdio,
    detached: options.detached ?? false,
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  let tail = '';
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    tail = (tail + text).slice(-maxStderrBytes);
  });
  // A broken pipe says nothing that the exit does not.
  child.stderr?.on('error', () => {});
  let gone = false;
  child.once('exit', () => (gone = true));
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new SylphError('host_unfit', `cannot run ${command}: ${cause.code ?? cause.message}`, {
          hint: `Install ${command} or put it into PATH.`,
          cause,
        }),
      );
    });
  });
  // Later errors (a signal that could not be sent) show in the exit.
  child.on('error', () => {});
  const pid = child.pid as number;
  return {
    child,
    pid,
    exited,
    signal: (signal) => {
      if (!gone) signalPid(pid, signal);
    },
    stderrTail: () => cleanLines(tail),
    release: () => {
      child.unref();
      child.stderr?.destroy();
    },
  };
}

/** Text of a program or a guest for people: no control characters, the last few lines only. */
export function cleanLines(text: string, lines = 6): string {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
    .filter((line) => line !== '')
    .slice(-lines)
    .join(' | ');
}

/** One phrase on how a program ended. */
export function describeExit(exit: Exit): string {
  if (exit.signal !== null) return `killed by ${exit.signal}`;
  return exit.code === null ? 'gone' : `exit code ${exit.code}`;
}

/** Resolves with the value, or undefined when `ms` passed first. The timer does not keep the process alive. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** TERM, wait, KILL, wait. Resolves when the process is gone; throws `internal` when even KILL did not end it in time (a process stuck in the kernel). */
export async function terminate(target: {
  pid: number;
  exited: Promise<unknown>;
  signal(signal: number): void;
}): Promise<void> {
  const gone = target.exited.then(() => true);
  for (const [signal, graceMs] of [
    [constants.signals.SIGTERM, termGraceMs],
    [constants.signals.SIGKILL, killGraceMs],
  ] as const) {
    target.signal(signal);
    if ((await within(gone, graceMs)) === true) return;
  }
  throw new SylphError('internal', `process ${target.pid} did not end ${killGraceMs} ms after SIGKILL`);
}

/** Sends a signal to a process that may already be gone. */
export function signalPid(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // Gone already: the caller waits for its end, which is what it wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Runs a short program to its end and returns its output. Throws `internal` on another exit code than 0, with the error output, and `timeout` at the deadline, when it is killed.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { input?: string | Buffer; deadlineMs: number; maxOutputBytes?: number },
): Promise<string> {
  const program = await supervise(command, args, { stdin: 'pipe', stdout: 'pipe' });
  const limit = options.maxOutputBytes ?? 64 * 1024;
  let output = '';
  program.child.stdout?.setEncoding('utf8');
  program.child.stdout?.on('data', (text: string) => {
    if (output.length < limit) output += text;
  });
  // The program may stop reading early; its exit code tells whether that was a failure.
  program.child.stdin?.on('error', () => {});
  program.child.stdin?.end(options.input ?? '');
  const exit = await within(program.exited, options.deadlineMs);
  if (exit === undefined) {
    await terminate(program);
    throw new SylphError('timeout', `${command} did not finish in ${options.deadlineMs} ms`);
  }
  if (exit.code !== 0) throw new SylphError('internal', `${command}: ${describeExit(exit)}: ${program.stderrTail()}`);
  return output.slice(0, limit);
}
