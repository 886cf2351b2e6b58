import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const agentSource = fileURLToPath(new URL('../../../../agent', import.meta.url));
const program = fileURLToPath(new URL('../../../daemon/src/api/testing/api-process.ts', import.meta.url));
const patienceMs = 20_000;

/** The daemon's API in a process of its own over the guest's agent, which runs here without a VM: what clients see is real down to the processes. It can be killed and started again. Sprite `one` is awake. */
export class RealDaemon implements AsyncDisposable {
  readonly #dir: string;
  readonly #agent: ChildProcess;
  #process: ChildProcess | undefined;
  url = '';
  token = '';

  private constructor(dir: string, agent: ChildProcess) {
    this.#dir = dir;
    this.#agent = agent;
  }

  static async start(): Promise<RealDaemon> {
    const dir = await mkdtemp(join(tmpdir(), 'sylph-client-'));
    for (const part of ['home', 'ports']) await mkdir(join(dir, part));
    await promisify(execFile)('go', ['build', '-o', join(dir, 'agent'), '.'], { cwd: agentSource });
    const agent = spawn(join(dir, 'agent'), ['-serve-unix', join(dir, 'ports')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const daemon = new RealDaemon(dir, agent);
    try {
      for (const port of ['data', 'control']) await appears(join(dir, 'ports', port));
      await daemon.begin();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  /** Stands for the sprite's /home/sprite. */
  get home(): string {
    return join(this.#dir, 'home');
  }

  /** Most memory the daemon's process has held so far, bytes. */
  async peakBytes(): Promise<number> {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${this.#process?.pid}/status`, 'utf8')) ?? [];
    return Number(kib) * 1024;
  }

  /** Starts it, at the same address as before. */
  async begin(): Promise<void> {
    const port = this.url === '' ? '0' : new URL(this.url).port;
    const process_ = spawn(process.execPath, [program, this.#dir, port], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = process_;
    const lines = createInterface({ input: process_.stdout });
    const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(patienceMs) })) as [string];
    ({ url: this.url, token: this.token } = JSON.parse(line) as { url: string; token: string });
  }

  /** Kills it without a warning. */
  async kill(): Promise<void> {
    const killed = this.#process;
    this.#process = undefined;
    if (killed === undefined || killed.exitCode !== null || killed.signalCode !== null) return;
    killed.kill('SIGKILL');
    await once(killed, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#agent.exitCode === null) {
      this.#agent.kill();
      await once(this.#agent, 'exit');
    }
    await rm(this.#dir, { recursive: true, force: true });
  }
}

async function appears(path: string): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 10) {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return;
    if (waitedMs > patienceMs) throw new Error(`${path} did not appear`);
    await sleep(10);
  }
}
