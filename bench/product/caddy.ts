import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const readyDeadlineMs = 20_000;

/** Debian's Caddy as a reverse proxy on a port of its own. Dispose: ends it. */
export class Caddy implements AsyncDisposable {
  readonly port: number;
  readonly #dir: string;
  readonly #process: ChildProcess;

  private constructor(port: number, dir: string, child: ChildProcess) {
    this.port = port;
    this.#dir = dir;
    this.#process = child;
  }

  /** One before a port of this machine; resolves when it serves. */
  static async before(upstream: number): Promise<Caddy> {
    const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-caddy-'));
    const port = await freePort();
    const config = `{\n\tadmin off\n\tauto_https off\n}\nhttp://:${port} {\n\tbind 127.0.0.1\n\treverse_proxy 127.0.0.1:${upstream}\n}\n`;
    await fs.writeFile(path.join(dir, 'Caddyfile'), config);
    const child = spawn('caddy', ['run', '--adapter', 'caddyfile', '--config', path.join(dir, 'Caddyfile')], {
      stdio: 'ignore',
      env: { PATH: process.env['PATH'], HOME: dir },
    });
    const caddy = new Caddy(port, dir, child);
    try {
      await Promise.race([
        listening(port),
        once(child, 'exit').then(() => Promise.reject(new Error('caddy ended before it served'))),
      ]);
      return caddy;
    } catch (error) {
      await caddy[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined) {
      const exited = once(this.#process, 'exit');
      this.#process.kill();
      await exited;
    }
    await fs.rm(this.#dir, { recursive: true });
  }
}

async function listening(port: number): Promise<void> {
  const end = performance.now() + readyDeadlineMs;
  while (performance.now() < end) {
    const socket = net.connect(port, '127.0.0.1');
    const open = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (open === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`caddy did not serve within ${readyDeadlineMs} ms`);
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
