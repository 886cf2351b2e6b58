import type { JobOutput } from '@sylph/client';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { usageError } from '../failure.ts';
import { ago, bytes } from '../output/human.ts';
import { writeTo } from '../output/output.ts';
import { table, type Cell } from '../output/table.ts';

type Jobs = Awaited<ReturnType<Context['client']>>['jobs'];
type Job = Awaited<ReturnType<Jobs['get']>>;

const oneJob = [{ name: '<id>', description: 'id from `sylph jobs list`', completes: 'job' }] as const;

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list background jobs; wakes nothing',
  common: ['org', 'sprite'],
  async run(context) {
    const sprite = await context.sprite();
    const jobs = await (await context.client()).jobs.list(sprite);
    await context.out.result(jobs, () =>
      jobs.length === 0
        ? `${sprite} has no jobs. Start one: sylph exec --background -s ${sprite} -- COMMAND\n`
        : table(
            [
              { title: 'ID' },
              { title: 'STATE' },
              { title: 'EXIT' },
              { title: 'COMMAND' },
              { title: 'OUTPUT', align: 'right' },
              { title: 'STARTED' },
              { title: 'ENDED' },
            ],
            jobs.map((each) => [
              each.id,
              stateCell(each),
              each.exit_code === null ? '' : String(each.exit_code),
              each.cmd.join(' ').slice(0, 60),
              bytes(each.output_bytes),
              ago(each.created_at),
              ago(each.ended_at),
            ]),
          ),
    );
  },
});

const logs = command({
  name: 'logs',
  summary: 'print the output of a background job',
  description:
    'Its stdout goes to stdout, its stderr to stderr. --follow goes on until it ends, through broken connections.',
  arguments: oneJob,
  common: ['org', 'sprite'],
  options: {
    follow: { kind: 'flag', short: 'f', description: 'go on until it ends' },
    stream: { kind: 'text', placeholder: 'NAME', description: 'only this one', choices: ['stdout', 'stderr'] },
    offset: { kind: 'integer', placeholder: 'BYTES', description: 'begin there; both streams together are counted' },
  },
  async run(context, [id = ''], { follow, stream, offset }) {
    if (stream !== undefined && stream !== 'stdout' && stream !== 'stderr')
      throw usageError(`--stream ${stream} is not known`, 'write stdout or stderr');
    const sprite = await context.sprite();
    const client = await context.client();
    const output = client.jobs.logs(sprite, id, {
      follow,
      offset,
      stream,
    });
    for await (const each of output) await print(context, each);
  },
});

const wait = command({
  name: 'wait',
  summary: "wait for a background job; the exit code is the job's",
  description: 'A job that was lost, killed or timed out without an exit code of its own ends this with 1.',
  arguments: oneJob,
  common: ['org', 'sprite'],
  async run(context, [id = '']) {
    const sprite = await context.sprite();
    const client = await context.client();
    const job = await context.out.waiting(`waiting for job ${id} of ${sprite}`, () => client.jobs.wait(sprite, id));
    await context.out.result(job, () => `job ${id} ${told(job)}\n`);
    return job.exit_code ?? 1;
  },
});

const kill = command({
  name: 'kill',
  summary: 'end a background job',
  description: 'The signal at once, KILL 10 s later.',
  arguments: oneJob,
  common: ['org', 'sprite'],
  options: { signal: { kind: 'text', placeholder: 'NAME', description: 'signal, default TERM' } },
  async run(context, [id = ''], { signal }) {
    const sprite = await context.sprite();
    const client = await context.client();
    const job = await context.out.waiting(`waiting for ${sprite} to wake`, () =>
      client.jobs.kill(sprite, id, { signalName: signal }),
    );
    await context.out.result(job, () =>
      job.ended_at === null ? `job ${id} was told to end\n` : `job ${id} had ended before: it ${told(job)}\n`,
    );
  },
});

const remove = command({
  name: 'rm',
  aliases: ['delete'],
  summary: 'remove background jobs that have ended, with their output',
  arguments: [{ name: '<id…>', description: 'ids from `sylph jobs list`', completes: 'job' }],
  common: ['org', 'sprite'],
  async run(context, ids) {
    const sprite = await context.sprite();
    const client = await context.client();
    for (const id of ids) await client.jobs.delete(sprite, id);
    await context.out.result({ sprite, removed: ids }, () => ids.map((id) => `job ${id} removed\n`).join(''));
  },
});

export const jobs = command({
  name: 'jobs',
  summary: 'list, read, wait for and end background jobs',
  subcommands: [list, logs, wait, kill, remove],
});

async function print(context: Context, output: JobOutput): Promise<void> {
  if ('to' in output) {
    const { type, from, to } = output;
    context.out.note(
      type === 'dropped'
        ? `sylph: ${to - from} bytes of output are gone: the server keeps a bounded amount`
        : `sylph: the sprite was restored: the job is back at byte ${to} of its output, from ${from}`,
    );
    if (context.out.json) await context.out.result(output, () => '');
    return;
  }
  const { type, offset, bytes: data } = output;
  if (context.out.json)
    await context.out.result({ type, offset, data: Buffer.from(data).toString('base64') }, () => '');
  else await writeTo(type === 'stdout' ? process.stdout : process.stderr, data);
}

/** `ended with 3`. */
function told(job: Job): string {
  switch (job.state) {
    case 'running':
      return 'is running';
    case 'succeeded':
    case 'failed':
      return `ended with ${job.exit_code}${job.reason === null ? '' : `: ${job.reason}`}`;
    case 'timed_out':
    case 'killed':
    case 'lost':
      return `was ended: ${job.reason ?? job.state}`;
    default:
      return job.state satisfies never;
  }
}

function stateCell({ state }: Job): Cell {
  switch (state) {
    case 'succeeded':
      return { text: state, style: 'good' };
    case 'running':
      return state;
    default:
      return { text: state.replace('_', ' '), style: 'bad' };
  }
}
