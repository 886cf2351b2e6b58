import * as z from 'zod';
import { duration } from './duration.ts';
import { argumentText, httpExecQuery } from './exec.ts';
import { flag, wholeNumber } from './query.ts';
import { signalText } from './session.ts';

/** Longest input a job is given at its start, characters; larger input belongs into a file. */
const maxJobInputLength = 256 * 1024;

/** Life of a job. `running` is the only state it leaves. */
export const jobState = z.enum(['running', 'succeeded', 'failed', 'timed_out', 'killed', 'lost']);
export type JobState = z.output<typeof jobState>;

/** Names a piece of work, so that repeating it does it once. */
export const idempotencyKey = z.string().regex(/^[\x21-\x7e]{1,255}$/, 'is to be 1 to 255 visible ASCII characters');

/** Where to tell of a job's end. Credentials in the URL are refused: they would be logged by everybody on the way. */
const notifyUrl = z
  .url({ protocol: /^https?$/ })
  .max(2_048)
  .refine((text) => {
    const { username, password } = new URL(text);
    return username === '' && password === '';
  }, 'holds credentials');

/** Name of an environment variable. */
const variableName = z
  .string()
  .max(1_024)
  .regex(/^[^=\0]+$/, 'is no name of a variable');

/** `POST …/jobs`. */
export const createJobRequest = z
  .strictObject({
    cmd: z.array(argumentText).min(1).max(4_096).meta({ description: 'Argument vector; the first is the program' }),
    env: z
      .record(variableName, argumentText)
      .optional()
      .meta({ description: 'Over the defaults and those of the sprite' }),
    dir: httpExecQuery.shape.dir,
    stdin: z
      .string()
      .max(maxJobInputLength)
      .optional()
      .meta({ description: 'Input, followed by its end; absent: none' }),
    timeout: duration.optional().meta({
      description:
        'After this the job gets TERM and 10 s later KILL. Counts while its sprite is awake; 0 or absent: no limit',
    }),
    idempotency_key: idempotencyKey.optional().meta({ description: 'As the header Idempotency-Key' }),
    notify: notifyUrl.optional().meta({ description: 'Gets a signed POST when the job has ended' }),
    notify_secret: z
      .string()
      .min(16)
      .max(256)
      .optional()
      .meta({ description: 'Key of the signature; absent: one is made and told in the answer, once' }),
  })
  .meta({ id: 'CreateJobRequest' });
export type CreateJobRequest = z.output<typeof createJobRequest>;

/** A background job. */
export const job = z
  .strictObject({
    id: z.string().meta({ description: 'Also the id of its session' }),
    sprite: z.string(),
    cmd: z.array(z.string()),
    dir: z.string(),
    state: jobState,
    exit_code: z.int().nullable().meta({ description: 'Null while it runs, and when nobody knows' }),
    signal: z.string().nullable().meta({ description: 'That ended it, without SIG' }),
    reason: z.string().nullable().meta({ description: 'Why it ended otherwise than by itself' }),
    created_at: z.iso.datetime(),
    ended_at: z.iso.datetime().nullable(),
    timeout_ms: z.int().nullable(),
    output_bytes: z.int().meta({ description: 'Both streams together' }),
    idempotency_key: z.string().nullable(),
    notify: z.string().nullable(),
  })
  .meta({ id: 'Job' });
export type Job = z.output<typeof job>;

/** Answer of `POST …/jobs`. */
export const createdJob = job
  .extend({ notify_secret: z.string().optional().meta({ description: 'Key of the signature; not shown again' }) })
  .meta({ id: 'CreatedJob' });
export type CreatedJob = z.output<typeof createdJob>;

/** `GET …/jobs`, newest first. */
export const jobList = z.strictObject({ count: z.int(), jobs: z.array(job) }).meta({ id: 'JobList' });

/** Query of `GET …/jobs/{id}/logs`. */
export const jobLogsQuery = z.object({
  stream: z.enum(['stdout', 'stderr']).optional().meta({ description: 'Only this one; absent: both as they came' }),
  offset: wholeNumber
    .optional()
    .meta({ description: 'Begin there, in bytes of both streams together; beyond the output so far: at its end' }),
  follow: flag.meta({ description: 'Go on until the job ends' }),
});

/** A line of `GET …/jobs/{id}/logs` with `Accept: application/x-ndjson`. `data` is text, or base64 where `encoding` says so. */
export const jobLogLine = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.enum(['stdout', 'stderr']),
      offset: z.int(),
      data: z.string(),
      encoding: z.literal('base64').optional(),
    }),
    z.strictObject({ type: z.literal('dropped'), from: z.int(), to: z.int() }),
    z
      .strictObject({ type: z.literal('rewound'), from: z.int(), to: z.int() })
      .meta({ description: 'The sprite was restored: the output goes on at `to`, before `from`' }),
    z.strictObject({ type: z.literal('heartbeat') }),
    z.strictObject({ type: z.literal('end'), offset: z.int(), job }),
  ])
  .meta({ id: 'JobLogLine' });
export type JobLogLine = z.output<typeof jobLogLine>;

/** Query or body of `POST …/jobs/{id}/kill`. */
export const killJobQuery = z.object({
  signal: signalText.optional().meta({ description: 'With or without SIG; default TERM, followed by KILL after 10 s' }),
});
