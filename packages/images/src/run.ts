import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { SylphError } from '@sylph/model';

/** Receives one line about what a long step is doing. */
export type Progress = (line: string) => void;

/** Lines of output kept for the text of an error. */
const keptLines = 30;
/** Longest line taken from a program, characters; the rest is dropped. */
const maxLineLength = 2000;

/** How {@link run} runs a program. */
export interface RunOptions {
  /** Ends the program when aborted. */
  signal?: AbortSignal | undefined;
  /** The program is ended after this long. */
  timeoutMs: number;
  /** Gets each line the program prints on stderr, and on stdout unless `collect` is set. */
  onLine?: Progress | undefined;
  /** Return what the program prints on stdout; at most 16 MiB. */
  collect?: boolean;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

const maxCollectedBytes = 16 * 2 ** 20;

/**
 * Runs a program to its end. Returns its stdout when `collect` is set, otherwise nothing.
 * Throws `host_unfit` when the program is missing, `timeout` after `timeoutMs`, the signal's reason when aborted, and `internal` with the
 * last lines it printed when it fails. The program is always gone when this returns or throws.
 */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<Buffer> {
  options.signal?.throwIfAborted();
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: options.env, cwd: options.cwd });
  const last: string[] = [];
  const take: Progress = (line) => {
    last.push(line);
    if (last.length > keptLines) last.shift();
    options.onLine?.(line);
  };
  const collected: Buffer[] = [];
  let collectedBytes = 0;
  readLines(child.stderr, take);
  if (options.collect) {
    child.stdout.on('data', (chunk: Buffer) => {
      collectedBytes += chunk.length;
      if (collectedBytes > maxCollectedBytes) child.kill('SIGKILL');
      else collected.push(chunk);
    });
  } else readLines(child.stdout, take);

  // SIGKILL: programs that need an orderly end are wrapped so that the kernel cleans up after them (see sandbox.ts).
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  try {
    const { code, by, error } = await new Promise<{ code: number | null; by: string | null; error?: Error }>(
      (resolve) => {
        child.once('error', (error) => resolve({ code: null, by: null, error }));
        child.once('close', (code, by) => resolve({ code, by }));
      },
    );
    if (error) throw missingProgram(command, error);
    if (options.signal?.aborted) throw options.signal.reason;
    if (deadline.aborted) {
      throw new SylphError('timeout', `${command} did not finish within ${options.timeoutMs / 1000} s`, {
        context: { args, last },
        hint: last.length > 0 ? `It last said: ${last.at(-1)}` : undefined,
      });
    }
    if (collectedBytes > maxCollectedBytes)
      throw new SylphError('internal', `${command} printed more than ${maxCollectedBytes} bytes`);
    if (code !== 0) {
      throw new SylphError(
        'internal',
        `${command} failed (${by ?? `exit ${code}`}):\n${last.map((line) => `  ${line}`).join('\n')}`,
        { context: { args } },
      );
    }
    return Buffer.concat(collected);
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function missingProgram(command: string, cause: Error): SylphError {
  return new SylphError('host_unfit', `${command} could not be started: ${cause.message}`, {
    cause,
    hint: 'Run `npm run setup`, which installs what is missing.',
  });
}

function readLines(stream: Readable, take: Progress): void {
  // Also splits at carriage returns, which programs that draw progress end their lines with.
  createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
    const text = line.replace(/\p{Cc}/gu, '').slice(0, maxLineLength);
    if (text.trim() !== '') take(text);
  });
}
