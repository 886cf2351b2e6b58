import * as z from 'zod';
import type { ErrorCode } from '../errors.ts';
import { signalName } from '../guest/process.ts';
import type { PortMessage } from './ports.ts';

/** A running session of `GET …/exec`. `is_active` means that a client is attached. */
export const session = z
  .strictObject({
    id: z.string().meta({ description: 'Counted up per sprite, never used again' }),
    command: z.string(),
    workdir: z.string(),
    created: z.iso.datetime(),
    tty: z.boolean(),
    bytes_per_second: z.number(),
    is_active: z.boolean(),
    last_activity: z.iso.datetime(),
  })
  .meta({ id: 'Session' });
export type Session = z.output<typeof session>;

/** `GET …/exec`: the running sessions. */
export const listSessionsResponse = z
  .strictObject({ count: z.int(), sessions: z.array(session) })
  .meta({ id: 'SessionList' });

/** A signal as clients write it: with or without SIG, in any case. Output is without SIG. */
export const signalText = z
  .string()
  .max(16)
  .transform((text) => text.toUpperCase().replace(/^SIG/, ''))
  .pipe(signalName);

/** Text messages from server to client on an exec socket. */
export type ExecServerMessage =
  /** The session's processes opened or closed a port. */
  | PortMessage
  /**
   * First of all; `offset`: where in the session's output the following bytes begin. `input_offset`: input bytes the session has, counted from the command's start, so that a client whose connection broke knows what to send
   * again; absent when nobody knows, or while another client's input may still arrive. `screen_bytes`: the first so many bytes of output draw a terminal's screen as it was at `offset`; they do not count.
   */
  | {
      type: 'session_info';
      session_id: string;
      command: string;
      created: number;
      cols: number;
      rows: number;
      is_owner: boolean;
      tty: boolean;
      offset: number;
      input_offset?: number;
      screen_bytes?: number;
    }
  | { type: 'exit'; exit_code: number; code: number; session_id: string; reason?: string }
  /** Output between these offsets is gone: the journal is bounded and nobody was reading. */
  | { type: 'dropped'; session_id: string; from: number; to: number }
  | { type: 'lost'; session_id: string; reason: string }
  | { type: 'error'; message: string; error: string; code: ErrorCode }
  | { type: 'debug'; msg: string };

/** Text messages from client to server on an exec socket. Unknown types are ignored: newer clients may say more. */
export const execClientMessage = z.union([
  z.object({ type: z.literal('resize'), cols: z.int().min(1).max(65_535), rows: z.int().min(1).max(65_535) }),
  z.object({ type: z.literal('signal'), signal: signalText }),
]);
export type ExecClientMessage = z.output<typeof execClientMessage>;

/** Media type of an HTTP exec's answer in frames that cannot be torn: `type u8 | length u32be | payload`, payload at most 64 KiB. */
export const execFramesType = 'application/vnd.sylph.frames';
/** Their types; the payload of `exit` is JSON, `{"exit_code":0}` or, when nobody knows how the command ended, `{"lost":"reason"}`. */
export const execFrameType = { stdout: 1, stderr: 2, exit: 3 } as const;

/** Stream bytes of non-TTY exec frames and of HTTP exec chunks. */
export const streamByte = { stdin: 0, stdout: 1, stderr: 2, exit: 3, stdinEof: 4 } as const;

/** A line of `POST …/exec/{id}/kill` (NDJSON). */
export const killLine = z
  .strictObject({
    type: z.enum(['signal', 'timeout', 'exited', 'killed', 'error', 'complete']),
    message: z.string().optional(),
    signal: z.string().optional(),
    pid: z.int().optional(),
    exit_code: z.int().optional(),
  })
  .meta({ id: 'KillLine' });
export type KillLine = z.output<typeof killLine>;
