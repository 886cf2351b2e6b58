import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { node, ownRuns, seedDir, sylphd, testPool, testRoot } from './paths.ts';
import { shell, until } from './shell.ts';

/** Time from process start to ready: recovery and, without a seed, a genesis boot. */
const readyTimeoutMs = 180_000;

/** Time for an orderly end: it puts every sprite to sleep first. */
const stopTimeoutMs = 120_000;

/** How to start a daemon under test. */
export interface DaemonOptions {
  /** Data directory of an earlier daemon; absent: a new one from the seed. */
  dataDir?: string;
  /** Size of a file system of its own, that a test may fill; absent: the one all share. */
  ownFileSystemGib?: number;
  /** `name=kill|throw|hold:FILE`, comma-separated. */
  failpoints?: string;
  /** More settings, as flags without dashes. */
  settings?: Record<string, string>;
  /** Environment of the daemon besides PATH. */
  environment?: Record<string, string>;
}

/** A real daemon on its own data directory. Dispose: ends it and removes the directory. */
export class TestDaemon implements AsyncDisposable {
  readonly dataDir: string;
  readonly url: string;
  readonly token: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #removeData = true;

  private constructor(dataDir: string, url: string, token: string, child: ChildProcess) {
    this.dataDir = dataDir;
    this.url = url;
    this.token = token;
    this.#process = child;
    this.#exited = exited(child);
  }

  /** Starts one and waits until it is ready. */
  static async start(options: DaemonOptions = {}): Promise<TestDaemon> {
    const dataDir = options.dataDir ?? (await newDataDir(options.ownFileSystemGib));
    const log = await fs.open(path.join(dataDir, 'sylphd.log'), 'a');
    const settings = {
      'data-dir': dataDir,
      listen: '127.0.0.1:0',
      'edge-listen': 'none',
      'ssh-listen': 'none',
      // Tests change nothing of the machine's own network.
      network: 'user',
      'log-level': 'debug',
      ...options.settings,
    };
    const child = spawn(
      node,
      [sylphd, 'serve', ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])],
      {
        stdio: ['ignore', log.fd, log.fd],
        env: {
          PATH: process.env['PATH'],
          NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
          SYLPH_FAILPOINTS: options.failpoints ?? '',
          ...options.environment,
        },
      },
    );
    const started = (await fs.stat(path.join(dataDir, 'sylphd.log'))).size;
    await log.close();
    try {
      const url = await until('the daemon to be ready', () => readyUrl(child, dataDir, started), {
        timeoutMs: readyTimeoutMs,
      });
      return new TestDaemon(dataDir, url, await tokenOf(dataDir), child);
    } catch (error) {
      child.kill('SIGKILL');
      await exited(child);
      await endVms(dataDir);
      await keepLog(dataDir);
      await removeDataDir(dataDir);
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** The end of the log, for a failing test. */
  async log(): Promise<string> {
    return fs.readFile(path.join(this.dataDir, 'sylphd.log'), 'utf8');
  }

  /** kill -9, as the out-of-memory killer would. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  /** Resolves when the daemon has ended by itself, as after a failpoint. */
  ended(): Promise<void> {
    return this.#exited;
  }

  /** SIGTERM and its orderly end; the data stay. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), stopTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
    if (this.#process.signalCode === 'SIGKILL') throw new Error(`the daemon did not end within ${stopTimeoutMs} ms`);
  }

  /** Ends this one, in order or by kill -9, and starts another on the same data. */
  async restart(how: 'stop' | 'kill', options: Omit<DaemonOptions, 'dataDir'> = {}): Promise<TestDaemon> {
    await (how === 'stop' ? this.stop() : this.kill());
    this.#removeData = false;
    return TestDaemon.start({ ...options, dataDir: this.dataDir });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#removeData) return;
    try {
      if (this.#process.exitCode === null && this.#process.signalCode === null) await this.stop();
    } finally {
      await endVms(this.dataDir);
      await keepLog(this.dataDir);
      await removeDataDir(this.dataDir);
    }
  }
}

async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => child.once('exit', resolve));
}

async function readyUrl(child: ChildProcess, dataDir: string, from: number): Promise<string | undefined> {
  const text = (await fs.readFile(path.join(dataDir, 'sylphd.log'))).subarray(from).toString();
  if (child.exitCode !== null || child.signalCode !== null)
    throw new Error(`the daemon ended before it was ready:\n${text.slice(-3000)}`);
  const url = /"url":"(http:[^"]+)","msg":"ready"/.exec(text)?.[1];
  return url && (await fetch(`${url}/healthz`)).status === 200 ? url : undefined;
}

async function tokenOf(dataDir: string): Promise<string> {
  const file = path.join(dataDir, 'token');
  const known = await fs.readFile(file, 'utf8').catch(() => undefined);
  if (known !== undefined) return known;
  const token = (await shell(node, [sylphd, 'token', 'create', '--data-dir', dataDir])).trim();
  await fs.writeFile(file, token);
  return token;
}

/** What takes seconds to make anew: the accelerator's probe, and a database in which only a token is. */
const seedFiles = ['accelerator.json', 'sylph.db', 'sylph.db-wal', 'token'];

/** A data directory with image, guest, geneses and token of the seed: shared block by block, or copied into a file system of its own. */
async function newDataDir(ownFileSystemGib?: number): Promise<string> {
  const dataDir = await fs.mkdtemp(path.join(testPool, ownRuns));
  if (ownFileSystemGib !== undefined) await mountFresh(fileSystemOf(dataDir), ownFileSystemGib, dataDir);
  await fs.chmod(dataDir, 0o711);
  await fs.mkdir(path.join(dataDir, 'pool'), { mode: 0o711 });
  const copied = ownFileSystemGib === undefined ? ['--reflink=always'] : ['--reflink=never', '--sparse=always'];
  for (const shelf of ['images', 'guests', 'genesis']) {
    await shell('cp', ['-a', ...copied, path.join(seedDir, 'pool', shelf), path.join(dataDir, 'pool', shelf)]);
  }
  for (const file of seedFiles) {
    // Absent while the seed is made, or when it was made without a probe: then this daemon makes its own.
    await fs.copyFile(path.join(seedDir, file), path.join(dataDir, file)).catch(() => undefined);
  }
  return dataDir;
}

/** Removes a data directory that nothing uses, with its own file system if it has one. */
export async function removeDataDir(dataDir: string): Promise<void> {
  if (await isMountPoint(dataDir)) await shell('umount', [dataDir]);
  await fs.rm(fileSystemOf(dataDir), { force: true });
  await fs.rm(dataDir, { recursive: true, force: true });
}

/** The file that holds a data directory's own file system, if it has one. */
function fileSystemOf(dataDir: string): string {
  return path.join(testRoot, `${path.basename(dataDir)}.xfs`);
}

/** Makes a sparse XFS in a new file and mounts it. */
export async function mountFresh(file: string, sizeGib: number, directory: string): Promise<void> {
  await fs.writeFile(file, '', { flag: 'wx' });
  await fs.truncate(file, sizeGib * 2 ** 30);
  await shell('mkfs.xfs', ['-q', '-f', '-m', 'reflink=1', file]);
  await mountLoop(file, directory);
}

/** Whether something is mounted on a directory. */
export async function isMountPoint(directory: string): Promise<boolean> {
  const [own, parent] = await Promise.all([fs.stat(directory), fs.stat(path.dirname(directory))]);
  return own.dev !== parent.dev;
}

export async function mountLoop(file: string, directory: string): Promise<void> {
  await shell('mount', ['-o', 'loop,noatime', file, directory]);
}

/** Keeps a daemon's log where `SYLPH_TEST_LOGS` says, for a person who looks into a failure. */
async function keepLog(dataDir: string): Promise<void> {
  const directory = process.env['SYLPH_TEST_LOGS'];
  if (directory !== undefined)
    await fs.copyFile(path.join(dataDir, 'sylphd.log'), path.join(directory, `${path.basename(dataDir)}.log`));
}

/** Ends VMs a killed daemon left behind: those whose working directory lies below the data directory. */
async function endVms(dataDir: string): Promise<void> {
  for (const pid of await vmsBelow(dataDir)) process.kill(pid, 'SIGKILL');
  await until('left-over VMs to end', async () => (await vmsBelow(dataDir)).length === 0);
}

/** Processes of QEMU that work below a directory. */
export async function vmsBelow(directory: string): Promise<number[]> {
  // The kernel tells working directories without symbolic links.
  return vmsIn(`${await fs.realpath(directory).catch(() => directory)}/`);
}

/** Processes of QEMU below data directories this test file made, removed ones too. */
export async function ownVms(): Promise<number[]> {
  return vmsIn(path.join(await fs.realpath(testPool), ownRuns));
}

async function vmsIn(prefix: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await fs.readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // A process that is gone again is none of ours.
    const exe = await fs.readlink(`/proc/${name}/exe`).catch(() => '');
    if (!exe.includes('qemu-system')) continue;
    const cwd = await fs.readlink(`/proc/${name}/cwd`).catch(() => '');
    if (cwd.startsWith(prefix)) found.push(Number(name));
  }
  return found;
}
