import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { shell } from '../floor/shell.ts';

const program = path.resolve(import.meta.dirname, '../../bin/sylphd');
/** Building an image that this machine has not got yet takes minutes. */
const imageDeadlineMs = 20 * 60_000;
/** The start probes the accelerator and boots a first VM. */
const readyDeadlineMs = 300_000;
/** A daemon that ends puts its sprites to sleep first. */
const endDeadlineMs = 60_000;
/** Characters of the log kept for an error. */
const keptLog = 4_000;

/** A daemon as a user runs it, on a data directory of its own, with the minimal image. Dispose: ends it and the VMs below the directory. */
export class BenchDaemon implements AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly #dataDir: string;
  readonly #process: ChildProcess;

  private constructor(url: string, token: string, dataDir: string, child: ChildProcess) {
    this.url = url;
    this.token = token;
    this.#dataDir = dataDir;
    this.#process = child;
  }

  /** Resolves when it is ready. `settings` are those of `sylphd serve`, beyond what every benchmark gives it. `dataDir` is made. */
  static async start(dataDir: string, settings: Record<string, string> = {}): Promise<BenchDaemon> {
    await fs.mkdir(dataDir, { recursive: true, mode: 0o711 });
    const sylphd = (...args: string[]): Promise<string> =>
      shell(program, [...args, '--data-dir', dataDir], { timeoutMs: imageDeadlineMs });
    await sylphd('image', 'build', 'minimal');
    const args = [
      'serve',
      '--data-dir',
      dataDir,
      '--listen',
      '127.0.0.1:0',
      '--idle-timeout',
      '0',
      '--creations-per-minute',
      '0',
      '--edge-listen',
      '127.0.0.1:0',
      '--ssh-listen',
      'none',
      ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    ];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    try {
      const url = await readyUrl(child);
      return new BenchDaemon(url, (await sylphd('token', 'create')).trim(), dataDir, child);
    } catch (error) {
      await end(child, dataDir);
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#process, this.#dataDir);
  }
}

/** Hypervisors that work below a directory. */
export async function vmsBelow(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await fs.readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // A process that is gone again is none of ours.
    const [exe, cwd] = await Promise.all(
      ['exe', 'cwd'].map((link) => fs.readlink(`/proc/${name}/${link}`).catch(() => '')),
    );
    if (exe?.includes('qemu-system') && cwd?.startsWith(`${directory}/`)) found.push(Number(name));
  }
  return found;
}

/** Reads the log until it says where the daemon listens and that it is ready; goes on reading so that the daemon never waits for us. */
async function readyUrl(child: ChildProcess): Promise<string> {
  let log = '';
  const ready = Promise.withResolvers<string>();
  const read = (text: Buffer): void => {
    log = (log + text.toString()).slice(-keptLog);
    const url = /"url":"(http:[^"]+)","msg":"ready"/.exec(log)?.[1];
    if (url !== undefined) ready.resolve(url);
  };
  child.stdout?.on('data', read);
  child.stderr?.on('data', read);
  child.once('exit', () => ready.reject(new Error(`the daemon ended before it was ready:\n${log}`)));
  child.once('error', ready.reject);
  const timer = setTimeout(
    () => ready.reject(new Error(`the daemon was not ready within ${readyDeadlineMs} ms:\n${log}`)),
    readyDeadlineMs,
  );
  try {
    return await ready.promise;
  } finally {
    clearTimeout(timer);
  }
}

async function end(child: ChildProcess, dataDir: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), endDeadlineMs);
    await ended;
    clearTimeout(timer);
  }
  for (let left = await vmsBelow(dataDir); left.length > 0; left = await vmsBelow(dataDir)) {
    for (const pid of left) kill(pid);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // Gone meanwhile is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
