import * as z from 'zod';
import { duration } from './duration.ts';
import { wholeNumber } from './query.ts';
import { argumentText, httpExecQuery } from './exec.ts';
import { signalText } from './session.ts';

/** Most lines of a service's log in one answer. */
const maxLogLines = 10_000;

/** Name of a service; it names files too. */
export const serviceName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'is to be 1 to 63 letters, digits, dots, dashes or underscores, and to begin with a letter or digit',
  );

/** `PUT …/services/{service}`. */
export const putServiceRequest = z
  .strictObject({
    cmd: argumentText
      .min(1, 'is empty')
      .meta({ description: 'The program; looked up in PATH when it holds no slash. No shell reads it' }),
    args: z.array(argumentText).max(4_096).nullish(),
    env: z
      .record(z.string().regex(/^[^=\0]+$/, 'is no name of a variable'), argumentText)
      .nullish()
      .meta({
        description: 'Over the defaults of exec and the environment of the sprite, as they are at this request',
      }),
    dir: httpExecQuery.shape.dir
      .nullish()
      .meta({ description: 'Working directory; default /home/sprite, and what a relative one begins at' }),
    needs: z
      .array(serviceName)
      .max(32)
      .nullish()
      .meta({ description: 'Services that have to run before this one starts, and are started first' }),
    http_port: z
      .int()
      .min(1)
      .max(65_535)
      .nullish()
      .meta({ description: 'It serves HTTP there. At most one service of a sprite has one' }),
  })
  .meta({ id: 'PutServiceRequest' });
export type PutServiceRequest = z.output<typeof putServiceRequest>;

/** What a service is at. `starting`: also while it waits for what it needs, or for its next start. `failed`: given up. */
export const serviceStatus = z.enum(['stopped', 'starting', 'running', 'stopping', 'failed']);
export type ServiceStatus = z.output<typeof serviceStatus>;

/** A service with its state. */
export const service = z
  .strictObject({
    name: z.string(),
    cmd: z.string(),
    args: z.array(z.string()),
    env: z.record(z.string(), z.string()),
    dir: z.string().optional(),
    needs: z.array(z.string()),
    http_port: z.int().nullable(),
    state: z.strictObject({
      name: z.string(),
      status: serviceStatus,
      pid: z.int().optional(),
      started_at: z.iso.datetime().optional(),
      error: z.string().optional().meta({ description: 'Why it does not run' }),
      restart_count: z.int().meta({ description: 'Since somebody started it, or the sprite booted' }),
      next_restart_at: z.iso.datetime().optional(),
    }),
  })
  .meta({ id: 'Service' });
export type Service = z.output<typeof service>;

/** A line of every stream about a service. */
export const serviceEvent = z
  .strictObject({
    type: z.enum(['started', 'stdout', 'stderr', 'exit', 'error', 'stopping', 'stopped', 'dropped', 'complete']),
    timestamp: z.int().meta({ description: 'Milliseconds since 1970' }),
    data: z
      .string()
      .optional()
      .meta({ description: 'A line of output with its newline, at most 64 KiB; or what went wrong' }),
    exit_code: z.int().optional().meta({ description: 'Of exit and stopped; 128 + n for a signal' }),
    count: z.int().optional().meta({ description: 'Of dropped: events the reader was too slow for' }),
    log_files: z
      .strictObject({ combined: z.string(), stdout: z.string(), stderr: z.string() })
      .optional()
      .meta({ description: 'Of complete: paths in the sprite' }),
  })
  .meta({ id: 'ServiceEvent' });
export type ServiceEvent = z.output<typeof serviceEvent>;

/** Query of requests that start a service. */
export const serviceWindowQuery = z.object({
  duration: duration
    .optional()
    .meta({ description: 'How long to tell what happens; default 5s. The service goes on afterwards' }),
});

/** Query of `POST …/services/{service}/stop`. */
export const stopServiceQuery = z.object({
  timeout: duration.optional().meta({ description: 'Between TERM and KILL; default 10s' }),
});

/** Query of `GET …/services/{service}/logs`. */
export const serviceLogsQuery = z.object({
  lines: wholeNumber
    .max(maxLogLines)
    .optional()
    .meta({ description: 'How many of the newest lines; default 100. At most the last 2 MiB are looked at' }),
  duration: duration.optional().meta({ description: 'How long to go on with what comes; default 0s' }),
});

/** `POST …/services/signal`. */
export const signalServiceRequest = z.strictObject({
  name: serviceName,
  signal: signalText.meta({ description: 'With or without SIG' }),
});
