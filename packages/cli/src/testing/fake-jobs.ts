import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { FakeSession } from '@sylph/client/testing';
import { createJobRequest, job as jobShape, type CreateJobRequest, type Job, type JobLogLine } from '@sylph/model';

interface FakeJob {
  session: FakeSession;
  request: CreateJobRequest;
  killed: boolean;
  lost: boolean;
}

/** The routes of background jobs, for whatever sprite, with real local processes behind them. What comes in and goes out is checked against the API's schemas. */
export class FakeJobs implements AsyncDisposable {
  readonly jobs = new Map<string, FakeJob>();
  /** Lines after which the next answers with output break off, one number an answer. */
  readonly breaks: number[] = [];
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));

  static async start(): Promise<FakeJobs> {
    const jobs = new FakeJobs();
    jobs.#server.listen(0, '127.0.0.1');
    await once(jobs.#server, 'listening');
    return jobs;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The sprite is restored to a time before the job had printed anything; this is what it does now. */
  async restore(id: string, script: string): Promise<void> {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`there is no job ${id}`);
    const lost = job.session;
    job.session = new FakeSession(id, {
      argv: ['sh', '-c', script],
      env: {},
      dir: undefined,
      tty: false,
      stdin: false,
    });
    lost.signal('KILL');
    await lost.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { session } of this.jobs.values()) {
      if (session.exitCode === undefined && session.pid > 0) session.signal('KILL');
      await session.exited;
    }
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const [, , , , , id, action = ''] = url.pathname.split('/');
    if (id === undefined) return request.method === 'POST' ? this.#start(request, response) : this.#list(response);
    const job = this.jobs.get(id);
    if (job === undefined) return refuse(response, 404, 'job_not_found', `job not found: ${id}`);
    const ended = job.session.exitCode !== undefined;
    switch (`${request.method} ${action}`) {
      case 'GET ':
        return send(response, 200, shown(job));
      case 'GET logs':
        return this.#logs(response, job, url.searchParams);
      case 'POST kill':
        if (ended) return refuse(response, 410, 'session_exited', `job ${id} has ended`);
        job.killed = true;
        job.session.signal(url.searchParams.get('signal') ?? 'TERM');
        await job.session.exited;
        return send(response, 200, shown(job));
      case 'DELETE ':
        if (!ended) return refuse(response, 409, 'job_running', `job ${id} runs`);
        this.jobs.delete(id);
        return void response.writeHead(204).end();
      default:
        return refuse(response, 404, 'not_found', 'no such path');
    }
  }

  async #start(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parsed = createJobRequest.safeParse(JSON.parse(await text(request)));
    if (!parsed.success) return refuse(response, 400, 'invalid_request', parsed.error.message);
    const { cmd, env = {}, dir, stdin } = parsed.data;
    const id = String(this.jobs.size + 1);
    const session = new FakeSession(id, { argv: cmd, env, dir, tty: false, stdin: stdin !== undefined });
    const job = { session, request: parsed.data, killed: false, lost: false };
    this.jobs.set(id, job);
    if (stdin !== undefined) void session.write(Buffer.from(stdin)).then(() => session.endInput());
    const secret = parsed.data.notify === undefined ? {} : { notify_secret: 'whsec_0123456789abcdef' };
    send(response, 202, { ...shown(job), ...secret });
  }

  #list(response: ServerResponse): void {
    const jobs = [...this.jobs.values()].map(shown).toReversed();
    send(response, 200, { count: jobs.length, jobs });
  }

  async #logs(response: ServerResponse, job: FakeJob, query: URLSearchParams): Promise<void> {
    let left = this.breaks.shift() ?? Infinity;
    let offset = Number(query.get('offset') ?? 0);
    const say = (line: JobLogLine): void => {
      if (left-- > 0) response.write(`${JSON.stringify(line)}\n`);
      else response.destroy();
    };
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const follows = query.get('follow') === 'true';
    const atStart = job.session.length;
    for (let { session } = job; ;) {
      for await (const { stream, bytes } of session.read(offset, () => follows || offset < atStart)) {
        const type = stream === 1 ? 'stdout' : 'stderr';
        if (query.get('stream') === null || query.get('stream') === type)
          say({ type, offset, data: bytes.toString('base64'), encoding: 'base64' });
        offset += bytes.length;
        if (response.destroyed) return;
      }
      if (session === job.session) break;
      session = job.session;
      say({ type: 'rewound', from: offset, to: 0 });
      offset = 0;
    }
    if (job.session.exitCode !== undefined) say({ type: 'end', offset, job: shown(job) });
    response.end();
  }
}

function shown({ session, request, killed, lost }: FakeJob): Job {
  const code = session.exitCode;
  const state = code === undefined ? 'running' : killed ? 'killed' : code === 0 ? 'succeeded' : 'failed';
  return jobShape.parse({
    id: session.id,
    sprite: 'one',
    cmd: request.cmd,
    dir: request.dir ?? '/home/sprite',
    state: lost ? 'lost' : state,
    exit_code: lost ? null : (code ?? null),
    signal: null,
    reason: lost ? 'the VM died' : state === 'killed' ? 'somebody killed it' : null,
    created_at: session.createdAt.toISOString(),
    ended_at: code === undefined ? null : new Date().toISOString(),
    timeout_ms: request.timeout ?? null,
    output_bytes: session.length,
    idempotency_key: request.idempotency_key ?? null,
    notify: request.notify ?? null,
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  send(response, status, { error: message, message, code, retryable: false });
}
