import * as z from 'zod';
import { duration } from './duration.ts';
import { flag, wholeNumber } from './query.ts';
import { signalText } from './session.ts';

/** Longest of one argument or one variable: what Linux takes (MAX_ARG_STRLEN), less the final NUL. */
const maxArgumentBytes = 131_071;

/** An argument, or a variable with its value. */
export const argumentText = z
  .string()
  .max(maxArgumentBytes)
  .refine((value) => !value.includes('\0'), 'holds a NUL byte');

/** A parameter that may be repeated. */
const repeated = <Item extends z.ZodType<string, string>>(item: Item) =>
  z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(item).max(4_096).optional());

/** `NAME=value`. */
const assignment = argumentText.refine((value) => value.indexOf('=') > 0, 'is to be NAME=value');

const terminalSide = z.coerce.number('is to be a number').int().min(1).max(65_535).optional();

/** Query of `POST …/exec`, and what its WebSocket form shares with it. */
export const httpExecQuery = z.object({
  cmd: repeated(argumentText).meta({
    description: 'Argument vector, one parameter an argument; the first is the name of the program',
  }),
  path: argumentText.optional().meta({ description: 'Program to run when it is not the first `cmd`' }),
  env: repeated(assignment).meta({
    description:
      'NAME=value over the defaults (HOME, USER, LOGNAME, SHELL, PATH, LANG, BROWSER, TERM for a terminal) and the environment of the sprite',
  }),
  dir: z
    .string()
    .max(4_096)
    .refine((value) => !value.includes('\0'), 'holds a NUL byte')
    .optional()
    .meta({ description: 'Working directory, by default /home/sprite' }),
  stdin: flag.meta({ description: 'Whether input is connected; by default with a terminal only' }),
  max_run_after_disconnect: duration.optional().meta({
    description:
      'How long the process may live after its last client left; 0 = as long as it likes; default 0 with a terminal, else 10s',
  }),
});

/** Query of `GET …/exec` as a WebSocket. With `id` or `session_id` it attaches to that session. */
export const socketExecQuery = httpExecQuery.extend({
  tty: flag,
  cols: terminalSide,
  rows: terminalSide,
  id: z.string().max(64).optional(),
  session_id: z.string().max(64).optional(),
  offset: wholeNumber.optional().meta({ description: 'With an attach: replay the output from here, in bytes' }),
});
export type SocketExecQuery = z.output<typeof socketExecQuery>;

/** Query of `GET …/exec/{session}` as a WebSocket; everything else a client may send there has no meaning for a session that exists. */
export const attachQuery = z.object({ stdin: flag, offset: socketExecQuery.shape.offset });

/** Query or body of `POST …/exec/{session}/kill`. */
export const killQuery = z.object({
  signal: signalText.optional().meta({ description: 'With or without SIG; default TERM' }),
  timeout: duration
    .optional()
    .meta({ description: 'After this the session gets KILL; 0s sends the signal and answers at once; default 10s' }),
});
