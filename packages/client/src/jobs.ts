import type { CreatedJob, Job, JobLogLine } from '@sylph/model';
import { delay } from './deadline.ts';
import { ClientError } from './errors.ts';
import { isObject } from './json.ts';
import { segment, type Http } from './http.ts';
import { isBroken, pauseAfter } from './reconnect.ts';
import { unexpected, type CallOptions } from './sprites.ts';

/** What to run in the background. */
export interface JobRequest {
  /** Argument vector; the first is the program. */
  cmd: readonly string[];
  env?: Readonly<Record<string, string>> | undefined;
  dir?: string | undefined;
  /** Input, followed by its end; at most 256 Ki characters. */
  stdin?: string | undefined;
  /** Awake time after which it is ended, ms. */
  timeoutMs?: number | undefined;
  /** The same key and request start the job once. */
  idempotencyKey?: string | undefined;
  /** Gets a signed POST when the job has ended. */
  notify?: { url: string; secret?: string | undefined } | undefined;
}

/** Which output of a job: of both streams from its first byte, unless said otherwise; with `follow` until it ends. */
export interface JobLogOptions extends CallOptions {
  stream?: 'stdout' | 'stderr' | undefined;
  offset?: number | undefined;
  follow?: boolean;
}

/**
 * Output of a job. `offset` counts the bytes of both streams together; `dropped`: bytes the server kept no longer; `rewound`: the sprite was restored, and the output goes on at `to`, before `from`, which was reached.
 */
export type JobOutput =
  | { type: 'stdout' | 'stderr'; offset: number; bytes: Uint8Array }
  | { type: 'dropped' | 'rewound'; from: number; to: number };

/** Background jobs of a sprite. */
export class Jobs {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Starts one; wakes the sprite. Give an idempotency key to be able to repeat it after a failure of the connection. */
  async start(sprite: string, request: JobRequest, options: CallOptions = {}): Promise<CreatedJob> {
    const { cmd, env, dir, stdin, timeoutMs, idempotencyKey, notify } = request;
    const body = {
      cmd,
      env,
      dir,
      stdin,
      timeout: timeoutMs === undefined ? undefined : `${timeoutMs}ms`,
      idempotency_key: idempotencyKey,
      notify: notify?.url,
      notify_secret: notify?.secret,
    };
    const answer = await this.#http.json(base(sprite), {
      method: 'POST',
      body,
      timeoutMs: this.#http.options.timeouts.lifecycleMs,
      ...options,
    });
    return asJob(answer);
  }

  /** Newest first. */
  async list(sprite: string, options: CallOptions = {}): Promise<Job[]> {
    const answer = await this.#http.json(base(sprite), options);
    if (!isObject(answer) || !Array.isArray(answer['jobs'])) throw unexpected('a list of jobs');
    return answer['jobs'] as Job[];
  }

  async get(sprite: string, id: string, options: CallOptions = {}): Promise<Job> {
    return asJob(await this.#http.json(`${base(sprite)}/${segment(id)}`, options));
  }

  /**
   * Its output from `offset` on; with `follow` until it ends. Returns the job as it is in the end. A connection that breaks is taken up again where it broke, without a byte lost or repeated;
   * a restore of the sprite is told, and the output of the job goes on from there.
   */
  async *logs(sprite: string, id: string, options: JobLogOptions = {}): AsyncGenerator<JobOutput, Job, undefined> {
    let offset = options.offset ?? 0;
    for (let failures = 0; ;) {
      try {
        for await (const line of this.#lines(sprite, id, { ...options, offset })) {
          failures = 0;
          if (line.type === 'end') return line.job;
          if (line.type === 'heartbeat') continue;
          const output = outputOf(line);
          offset = 'to' in output ? output.to : output.offset + output.bytes.length;
          yield output;
        }
        // Without an end the output so far was all that was asked for; a stream that is followed has been cut.
        if (options.follow !== true) return await this.get(sprite, id, options);
        throw new ClientError('connection_lost', 'the output broke off');
      } catch (thrown) {
        failures += 1;
        if (!isBroken(thrown) || failures > this.#http.options.resumeAttempts) throw thrown;
        await delay(pauseAfter(failures), this.#ends(options.signal));
      }
    }
  }

  /** Waits for its end. */
  async wait(sprite: string, id: string, options: CallOptions = {}): Promise<Job> {
    const { output_bytes: offset } = await this.get(sprite, id, options);
    const output = this.logs(sprite, id, { ...options, offset, follow: true });
    for (;;) {
      const next = await output.next();
      if (next.done === true) return next.value;
    }
  }

  /** Sends a signal, default TERM, and 10 s later SIGKILL. One that had ended before is a success. */
  async kill(
    sprite: string,
    id: string,
    options: { signalName?: string | undefined } & CallOptions = {},
  ): Promise<Job> {
    try {
      const answer = await this.#http.json(`${base(sprite)}/${segment(id)}/kill`, {
        method: 'POST',
        query: { signal: options.signalName },
        timeoutMs: this.#http.options.timeouts.lifecycleMs,
        signal: options.signal,
      });
      return asJob(answer);
    } catch (thrown) {
      if (thrown instanceof ClientError && thrown.status === 410) return this.get(sprite, id, options);
      throw thrown;
    }
  }

  /** Removes one that has ended, with its output. */
  async delete(sprite: string, id: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base(sprite)}/${segment(id)}`, { method: 'DELETE', ...options });
  }

  /** Fires when the caller or the whole client gives up. */
  #ends(signal: AbortSignal | undefined): AbortSignal {
    return AbortSignal.any([signal, this.#http.options.signal].filter((each) => each !== undefined));
  }

  async *#lines(
    sprite: string,
    id: string,
    options: { stream?: string | undefined; offset: number; follow?: boolean } & CallOptions,
  ): AsyncGenerator<JobLogLine, void, undefined> {
    const query = {
      stream: options.stream,
      offset: String(options.offset),
      follow: options.follow === true ? 'true' : undefined,
    };
    const lines = this.#http.lines(`${base(sprite)}/${segment(id)}/logs`, {
      query,
      headers: { accept: 'application/x-ndjson' },
      signal: options.signal,
    });
    for await (const line of lines) yield line as unknown as JobLogLine;
  }
}

function base(sprite: string): string {
  return `/v1/sprites/${segment(sprite)}/jobs`;
}

function asJob(answer: unknown): CreatedJob {
  if (!isObject(answer) || typeof answer['id'] !== 'string' || typeof answer['state'] !== 'string')
    throw unexpected('a job');
  return answer as unknown as CreatedJob;
}

function outputOf(line: Exclude<JobLogLine, { type: 'end' | 'heartbeat' }>): JobOutput {
  if (line.type === 'dropped' || line.type === 'rewound') return line;
  const bytes =
    line.encoding === 'base64'
      ? Uint8Array.from(atob(line.data), (character) => character.charCodeAt(0))
      : new TextEncoder().encode(line.data);
  return { type: line.type, offset: line.offset, bytes };
}
