import type { OrgRow, Session } from '@sylph/engine';
import {
  createdJob,
  createJobRequest,
  job,
  jobList,
  jobLogLine,
  jobLogsQuery,
  killJobQuery,
  SylphError,
  type CreatedJob,
  type CreateJobRequest,
} from '@sylph/model';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { newSecret } from '../webhooks/sign.ts';
import type { ApiParts } from './parts.ts';
import { errorResponses } from './error-answers.ts';
import { sessionRequest } from './exec-request.ts';
import { idempotencyKeyOf } from './idempotency.ts';
import { jobAnswer } from './job-answer.ts';
import { sendLogs } from './job-logs.ts';
import { shortened } from './shortened.ts';
import { nameInPath } from './sprite-answer.ts';
import { vanished } from './vanished.ts';

const tags = ['jobs'];
const oneJob = z.object({ name: z.string(), job: z.string() });

/** Background jobs: commands that nobody waits for. */
export const jobRoutes =
  ({ deps, idempotency, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service } = deps;

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/jobs',
      schema: {
        operationId: 'createJob',
        summary: 'Run a command in the background',
        description:
          'Answers as soon as the command was handed to the sprite. A job holds its sprite awake until it ends; it goes on while the daemon restarts, and with its sprite through suspend, wake, checkpoint and restore. With `notify` its end is told by a POST of `{"type":"job.ended","job":…}`, signed as https://www.standardwebhooks.com lays down, at least once, and tried again for two days.',
        tags,
        params: z.object({ name: z.string() }),
        body: createJobRequest,
        response: { 202: createdJob, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        const key = keyOf(request.body, idempotencyKeyOf(request));
        const gone = vanished(reply);
        const run = () => start(org, name, request.body, key, gone);
        const recover = async (since: string) => {
          const made = (await jobsOf(org, name)).find(
            ({ request: { job: part }, createdAt }) => part?.idempotencyKey === key && createdAt.toISOString() >= since,
          );
          return made === undefined ? undefined : created(made, name, request.body);
        };
        const answer = await idempotency.once(request, { run, recover, recoverFirst: true }, key);
        return reply.code(202).header('location', `/v1/sprites/${name}/jobs/${answer.id}`).send(answer);
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/jobs',
      schema: {
        operationId: 'listJobs',
        summary: 'List background jobs',
        description: 'Newest first: running ones, and the last 1,000 that ended. Wakes nothing.',
        tags,
        params: z.object({ name: z.string() }),
        response: { 200: jobList, ...errorResponses },
      },
      handler: async (request) => {
        const name = nameInPath(request.params.name);
        const found = (await jobsOf(request.caller.org, name)).toSorted((a, b) => Number(b.id) - Number(a.id));
        return { count: found.length, jobs: found.map((one) => jobAnswer(one, name)) };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/jobs/:job',
      schema: {
        operationId: 'getJob',
        summary: 'Get a background job',
        tags,
        params: oneJob,
        response: { 200: job, ...errorResponses },
      },
      handler: async ({ caller, params }) => {
        const name = nameInPath(params.name);
        return jobAnswer(await find(caller.org, name, params.job), name);
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/jobs/:job/logs',
      schema: {
        operationId: 'jobLogs',
        summary: 'Read the output of a background job',
        description:
          'The bytes as they are, or one JSON object a line with `Accept: application/x-ndjson`; the last line is of type `end` when the job has ended. A restore to a checkpoint in which the job runs does not end a stream that follows it: where less output is known then than was told or asked for, a line of type `rewound` says so (of bytes, a line of text), and the output goes on at its `to`, made anew by the job; that is also the answer to an `offset` beyond the output. Output beyond the newest 64 MiB is dropped while nobody reads, which is told. Wakes nothing, and keeps no sprite awake: a stream that follows the job of a sprite that is put to sleep goes on after its wake.',
        tags,
        params: oneJob,
        querystring: jobLogsQuery,
        response: {
          200: {
            description: 'Output',
            content: {
              'application/octet-stream': { schema: z.string() },
              'application/x-ndjson': { schema: jobLogLine },
            },
          },
          ...errorResponses,
        },
      },
      handler: async (request, reply) => {
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        const session = await find(request.caller.org, name, request.params.job);
        await sendLogs(request, reply, place, {
          session,
          query: request.query,
          find: () => find(request.caller.org, name, request.params.job),
          awake: async () => (await service.get(request.caller.org, name)).state === 'running',
          answer: (each) => jobAnswer(each, name),
          keepAliveMs: deps.limits.keepAliveMs,
        });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/jobs/:job/kill',
      schema: {
        operationId: 'killJob',
        summary: 'End a background job',
        description: 'The signal goes to its process group; 10 s later KILL does. 410: it had ended before.',
        tags,
        params: oneJob,
        querystring: killJobQuery,
        body: z.strictObject(killJobQuery.shape).nullish(),
        response: { 200: job, ...errorResponses },
      },
      handler: async ({ caller, params, query, body }, reply) => {
        const { signal = 'TERM' } = { ...body, ...query };
        const name = nameInPath(params.name);
        if ((await find(caller.org, name, params.job)).end !== undefined) throw ended(params.job);
        using lease = await service.use(caller.org, name, { signal: vanished(reply) });
        const session = lease.sessions.get(params.job) ?? unknownJob(params.job);
        if (session.end !== undefined) throw ended(params.job);
        await session.stop(signal, 'kill');
        return jobAnswer(session, name);
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/jobs/:job',
      schema: {
        operationId: 'deleteJob',
        summary: 'Remove a background job that has ended, with its output',
        tags,
        params: oneJob,
        response: { 204: z.null().describe('Removed'), ...errorResponses },
      },
      handler: async ({ caller, params }, reply) => {
        const name = nameInPath(params.name);
        await find(caller.org, name, params.job);
        await (await service.peekSessions(caller.org, name))?.removeJob(params.job);
        return reply.code(204).send(null);
      },
    });

    async function start(
      org: OrgRow,
      name: string,
      body: CreateJobRequest,
      key: string | undefined,
      gone: AbortSignal,
    ): Promise<CreatedJob> {
      using lease = await service.use(org, name, { signal: gone });
      const env = Object.entries(body.env ?? {}).map(([variable, value]) => `${variable}=${value}`);
      const command = sessionRequest(
        { cmd: body.cmd, env, dir: body.dir, stdin: body.stdin !== undefined, max_run_after_disconnect: 0 },
        lease.view,
      );
      const session = await lease.sessions.start({
        ...command,
        job: {
          input: body.stdin ?? '',
          timeoutMs: body.timeout === undefined || body.timeout === 0 ? null : body.timeout,
          idempotencyKey: key ?? null,
          notify: body.notify === undefined ? null : { url: body.notify, secret: body.notify_secret ?? newSecret() },
        },
      });
      return created(session, name, body);
    }

    async function jobsOf(org: OrgRow, name: string): Promise<Session[]> {
      return (await service.peekSessions(org, name))?.jobs() ?? [];
    }

    async function find(org: OrgRow, name: string, id: string): Promise<Session> {
      const session = (await service.peekSessions(org, name))?.get(id);
      return session?.request.job === undefined ? unknownJob(id) : session;
    }
  };

/** A secret is told once, and only when the caller did not choose it. */
function created(session: Session, name: string, body: CreateJobRequest): CreatedJob {
  const secret = body.notify_secret === undefined ? session.request.job?.notify?.secret : undefined;
  return { ...jobAnswer(session, name), ...(secret === undefined ? {} : { notify_secret: secret }) };
}

function keyOf(body: CreateJobRequest, header: string | undefined): string | undefined {
  if (header !== undefined && body.idempotency_key !== undefined && header !== body.idempotency_key)
    throw new SylphError('invalid_request', 'the header Idempotency-Key and idempotency_key differ');
  return body.idempotency_key ?? header;
}

function unknownJob(id: string): never {
  throw new SylphError('job_not_found', `job not found: ${shortened(id)}`, {
    hint: 'GET …/jobs lists the jobs of a sprite.',
  });
}

function ended(id: string): SylphError {
  return new SylphError('session_exited', `job ${id} has ended`);
}
