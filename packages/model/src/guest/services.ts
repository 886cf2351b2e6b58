import * as z from 'zod';
import { serviceStatus } from '../api/service.ts';

/** Longest line of a stream of events the host reads, bytes: 64 KiB of output, of which JSON may write each byte as six. */
export const maxServiceLineBytes = 512 * 1024;

/** Longest answer about services, bytes: the agent keeps at most 512 KiB of definitions, of which JSON may write each byte as six. */
export const maxServicesAnswerBytes = 4 * 1024 * 1024;

const text = (maxLength: number) => z.string().max(maxLength);
const path = text(4_096);
const name = text(63);
/** Longest part of a definition. */
const maxPartLength = 128 * 1024;

/** A service as the agent tells of it. Unknown fields are dropped: a newer agent may say more. */
export const guestService = z.object({
  name,
  cmd: text(maxPartLength),
  args: z.array(text(maxPartLength)).max(65_536),
  env: z.record(text(maxPartLength), text(maxPartLength)),
  dir: path.optional(),
  needs: z.array(name).max(64),
  http_port: z.int().min(1).max(65_535).nullable(),
  state: z.object({
    name,
    status: serviceStatus,
    pid: z.int().nonnegative().optional(),
    started_at: z.iso.datetime().optional(),
    error: text(16_384).optional(),
    restart_count: z.int().nonnegative(),
    next_restart_at: z.iso.datetime().optional(),
  }),
});

/** Answer of `GET /v1/services`. */
export const guestServiceList = z.array(guestService).max(256);

/** A line of a stream of events. */
export const guestServiceEvent = z.object({
  type: z.enum(['started', 'stdout', 'stderr', 'exit', 'error', 'stopping', 'stopped', 'dropped', 'complete']),
  timestamp: z.int().min(0),
  data: text(maxPartLength).optional(),
  exit_code: z.int().min(-1).max(255).optional(),
  count: z.int().nonnegative().optional(),
  log_files: z.object({ combined: path, stdout: path, stderr: path }).optional(),
});

/** Body of `PUT /v1/services/{name}`: the user's fields, and what the host adds without showing it. */
export interface GuestServiceDefinition {
  cmd: string;
  args: string[];
  env: Record<string, string>;
  dir: string;
  needs: string[];
  http_port: number | null;
  base: { env: Record<string, string>; dir: string; user: string };
}

/** Error answers of the service routes; `code` is an errno's name. */
export const guestServiceRefusal = z.object({ error: text(16_384), code: text(32) });
