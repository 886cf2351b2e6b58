import { ExecError, SpritesClient, type Sprite } from '@fly/sprites';
import type { StreamLine } from '@sylph/model';
import type { TestDaemon } from './daemon.ts';

/** Bounds a call to a daemon under test: a hang fails the test instead of the run. */
const callTimeoutMs = 120_000;

/** An answer of the API. */
export interface Answer {
  status: number;
  headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
  body: any;
}

/** What a command in a sprite left. */
export interface Ran {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** The API of a daemon under test: raw calls, and the unmodified npm SDK. */
export class Api {
  readonly daemon: TestDaemon;
  readonly sdk: SpritesClient;

  constructor(daemon: TestDaemon) {
    this.daemon = daemon;
    this.sdk = new SpritesClient(daemon.token, { baseURL: daemon.url, timeout: callTimeoutMs });
  }

  /** One call; JSON bodies are parsed. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.daemon.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.daemon.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(callTimeoutMs),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text,
    };
  }

  /** A call that must succeed. */
  async ok(method: string, path: string, body?: unknown): Promise<Answer['body']> {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** A call that answers NDJSON. */
  async lines(method: string, path: string, body?: unknown): Promise<StreamLine[]> {
    const { body: text } = await this.call(method, path, body);
    return String(text)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as StreamLine);
  }

  /** A new sprite of small memory. */
  async create(name: string, more: Record<string, unknown> = {}): Promise<Answer['body']> {
    return this.ok('POST', '/v1/sprites', { name, config: { ram_mb: 512 }, idle_timeout_s: 0, ...more });
  }

  sprite(name: string): Sprite {
    return this.sdk.sprite(name);
  }

  /** Runs a shell script in a sprite through the SDK. */
  async sh(name: string, script: string): Promise<Ran> {
    try {
      const result = await this.sprite(name).execFile('/bin/sh', ['-c', script]);
      return { stdout: String(result.stdout), stderr: String(result.stderr), exitCode: result.exitCode };
    } catch (error) {
      if (!(error instanceof ExecError)) throw error;
      return { stdout: String(error.stdout), stderr: String(error.stderr), exitCode: error.exitCode };
    }
  }

  /** Runs a script that must succeed; its output, trimmed. */
  async text(name: string, script: string): Promise<string> {
    const ran = await this.sh(name, script);
    if (ran.exitCode !== 0) throw new Error(`${script}: exit ${ran.exitCode}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout.trim();
  }

  /** Makes a checkpoint; returns its id. */
  async checkpoint(name: string, comment?: string): Promise<string> {
    const lines = await this.lines(
      'POST',
      `/v1/sprites/${name}/checkpoint`,
      comment === undefined ? undefined : { comment },
    );
    const id = /^ {2}ID: (\S+)$/m.exec(lines.map(({ data }) => data ?? '').join('\n'))?.[1];
    if (lines.at(-1)?.type !== 'complete' || id === undefined)
      throw new Error(`checkpoint failed: ${JSON.stringify(lines)}`);
    return id;
  }

  /** Restores a checkpoint. */
  async restore(name: string, id: string, body?: unknown): Promise<StreamLine[]> {
    const lines = await this.lines('POST', `/v1/sprites/${name}/checkpoints/${id}/restore`, body);
    if (lines.at(-1)?.type !== 'complete') throw new Error(`restore failed: ${JSON.stringify(lines)}`);
    return lines;
  }
}
