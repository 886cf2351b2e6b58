// Loaded before every test file (`node --import`): gives it a temporary directory of its own and fails it when it leaves a file, a mount or a process behind. Timers and sockets need no look: a file that leaves one does not end, and its time runs out.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** What the last process of a test may take to go away. */
const settleMs = 5_000;
const lookAgainMs = 100;

/** Variable that marks what a test file starts, however far it is handed down. */
const variable = 'SYLPH_TEST_FILE';
const mark = `${variable}=${randomBytes(8).toString('hex')}`;

// Also loaded by the process that starts the files, and by threads and processes of a file.
if (process.env['NODE_TEST_CONTEXT'] !== undefined && process.env[variable] === undefined) guard();

function guard(): void {
  // Short: paths of Unix sockets below it have 107 bytes at most.
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 't-'));
  // As open as the system's: hypervisors of other users work below it.
  fs.chmodSync(directory, 0o777);
  process.env['TMPDIR'] = directory;
  process.env[variable] = mark.slice(variable.length + 1);
  // At the very end: a file's own hooks end what its tests share.
  process.once('exit', () => {
    const deadline = performance.now() + settleMs;
    let left = leftovers(directory);
    while (left.length > 0 && performance.now() < deadline) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookAgainMs);
      left = leftovers(directory);
    }
    if (left.length > 0) {
      process.stderr.write(`left behind by ${process.argv[1]}:\n  ${left.join('\n  ')}\n`);
      process.exitCode = 1;
    }
    fs.rmSync(directory, { recursive: true, force: true });
  });
}

function leftovers(directory: string): string[] {
  return [...filesIn(directory), ...mountsBelow(directory), ...processes()];
}

function filesIn(directory: string): string[] {
  return fs.readdirSync(directory).map((name) => `file: ${name}`);
}

function mountsBelow(directory: string): string[] {
  const mounts = fs.readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')[1] ?? '').filter((mount) => mount.startsWith(`${directory}/`));
}

/** Processes with our mark, and children that dropped it. */
function processes(): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && (isMarked(name) || isChild(name)))
    .map((pid) => `process: ${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 200)}`);
}

function isMarked(pid: string): boolean {
  return read(`/proc/${pid}/environ`).split('\0').includes(mark);
}

function isChild(pid: string): boolean {
  // After the name in parentheses: state, parent.
  const [, state, parent] = /.*\) (\S) (\d+) /s.exec(read(`/proc/${pid}/stat`)) ?? [];
  return Number(parent) === process.pid && state !== 'Z';
}

/** Empty for a process that is gone. */
function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
