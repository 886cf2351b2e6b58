import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

/** A program that serves while a test runs. Dispose it. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  /** What it printed. */
  text = '';

  constructor(command: string, args: string[], env: Record<string, string> = {}) {
    this.child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], ...env },
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill();
    await exited;
  }

  /** Resolves when something listens on a port of this machine; rejects when the program ends, or after 20 s. */
  async listening(port: number): Promise<void> {
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 50) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.text.slice(-2_000)}`);
      const socket = net.connect(port, '127.0.0.1');
      const open = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'close').then(() => false),
      ]).catch(() => false);
      socket.destroy();
      if (open) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`it does not listen: ${this.text.slice(-2_000)}`);
  }
}

/** A port of this machine that was free just now. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
