import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const sources = path.resolve(import.meta.dirname, '../../../../agent');

/** The real agent, serving its ports as Unix sockets of this machine, without a VM. Built from source; needs Go. */
export class RealAgent implements AsyncDisposable {
  /** A directory of its own, removed with it. */
  readonly dir: string;
  readonly sockets: { data: string; control: string };
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(dir: string, process: ChildProcess) {
    this.dir = dir;
    this.sockets = { data: path.join(dir, 'data'), control: path.join(dir, 'control') };
    this.#process = process;
    this.#ended = new Promise((resolve) => process.once('close', resolve));
  }

  static async start(): Promise<RealAgent> {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'sylph-agent-'));
    const program = path.join(dir, 'agent');
    await promisify(execFile)('go', ['build', '-o', program, '.'], {
      cwd: sources,
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    return new RealAgent(dir, spawn(program, ['-serve-unix', dir], { stdio: 'ignore' }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#ended;
    await rm(this.dir, { recursive: true, force: true });
  }
}
