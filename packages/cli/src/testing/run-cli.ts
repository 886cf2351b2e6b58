import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeServer } from '@sylph/client/testing';

/** The program under test. */
export const mainFile = fileURLToPath(new URL('../main.ts', import.meta.url));

/** What a run left. */
export interface Run {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

/** A server, a home directory of its own, and runs of the program in them. */
export class CliFixture implements AsyncDisposable {
  readonly server: FakeServer;
  readonly home: string;
  /** Environment of every run: nothing of the one the tests run in but the path. */
  readonly env: Record<string, string>;

  private constructor(server: FakeServer, home: string) {
    this.server = server;
    this.home = home;
    this.env = {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      SYLPH_URL: server.url,
      SYLPH_TOKEN: server.token,
      TERM: 'xterm-256color',
      LANG: 'C.UTF-8',
      // As the launcher does: the tests start the program some hundred times.
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(home, 'compiled'),
    };
  }

  static async make(): Promise<CliFixture> {
    const server = await FakeServer.start();
    server.addSprite('one');
    return new CliFixture(server, await mkdtemp(join(tmpdir(), 'sylph-cli-')));
  }

  argv(...words: string[]): string[] {
    return [process.execPath, mainFile, ...words];
  }

  /** Runs it to its end, without a terminal. */
  async run(
    words: readonly string[],
    options: { input?: string | Buffer; env?: Record<string, string>; cwd?: string } = {},
  ): Promise<Run> {
    const child = this.spawn(words, options);
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.on('error', () => undefined); // It may end without reading everything.
    child.stdin.end(options.input ?? '');
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (...end) => resolve(end)),
    );
    return { code, signal, stdout: Buffer.concat(stdout), stderr };
  }

  /** Starts it with pipes. */
  spawn(words: readonly string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
    return spawn(process.execPath, [mainFile, ...words], {
      env: { ...this.env, ...options.env },
      cwd: options.cwd ?? this.home,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await rm(this.home, { recursive: true, force: true });
  }
}
