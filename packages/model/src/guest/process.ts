import * as z from 'zod';

/** Frame types of a process stream, both directions. */
export const frameType = {
  spec: 1,
  stdin: 2,
  stdinEof: 3,
  ack: 4,
  resize: 5,
  signal: 6,
  started: 16,
  stdout: 17,
  stderr: 18,
  exit: 19,
  failed: 20,
  stdinAck: 21,
} as const;

/** Longest payload of a frame, bytes (the offset of stdin, stdout and stderr frames comes on top). */
export const maxFramePayloadBytes = 64 * 1024 + 8;

/** Longest id of a process; the agent refuses longer ones. */
const maxProcessIdLength = 128;

/** Most of a spec's arguments and environment together, bytes as JSON: it travels in one frame, with room for its other fields. */
export const maxCommandBytes = 60_000;

/** Signals a client may send, without SIG. */
export const signalName = z.enum([
  'HUP',
  'INT',
  'QUIT',
  'KILL',
  'USR1',
  'USR2',
  'TERM',
  'CONT',
  'STOP',
  'TSTP',
  'WINCH',
]);
export type SignalName = z.output<typeof signalName>;

/** What to run. The host composes the environment; the agent adds nothing. */
export interface ProcessSpec {
  id: string;
  argv: string[];
  path: string;
  env: Record<string, string>;
  dir: string;
  user: string;
  tty: { cols: number; rows: number } | null;
  stdin: boolean;
}

/** Payload of `started`. */
export const startedPayload = z.object({
  pid: z.int().nonnegative(),
  path: z.string().max(4096),
  inputOffset: z.int().nonnegative(),
  outputOffset: z.int().nonnegative(),
});
export type StartedPayload = z.output<typeof startedPayload>;

/** Payload of `exit`: from the reaper only. */
export const exitPayload = z.object({
  code: z.int().min(0).max(255),
  signal: z.string().max(16).nullable(),
  outputOffset: z.int().nonnegative(),
});
export type ExitPayload = z.output<typeof exitPayload>;

/** Payload of `failed`. */
export const failedPayload = z.object({ error: z.string().max(4096), code: z.string().max(32) });
export type FailedPayload = z.output<typeof failedPayload>;

/** One process of `GET /v1/processes`. */
export const guestProcess = z.object({
  id: z.string().max(maxProcessIdLength),
  pid: z.int().nonnegative(),
  argv: z.array(z.string()).optional(),
  tty: z.boolean(),
  exited: z.boolean(),
  outputOffset: z.int().nonnegative(),
  acked: z.int().nonnegative(),
  inputOffset: z.int().nonnegative(),
});
export type GuestProcess = z.output<typeof guestProcess>;
/** Answer of `GET /v1/processes`; the agent keeps at most 4,096. */
export const guestProcessList = z.object({ processes: z.array(guestProcess).max(4096) });

/** Answer of `GET /v1/stats`. */
export const guestStats = z.object({
  memTotalBytes: z.number().nonnegative(),
  memAvailableBytes: z.number().nonnegative(),
  diskTotalBytes: z.number().nonnegative(),
  diskFreeBytes: z.number().nonnegative(),
  uptimeMs: z.number().nonnegative(),
  loadAverage1: z.number().nonnegative(),
  processes: z.int().nonnegative(),
});
export type GuestStats = z.output<typeof guestStats>;
