import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionEnd, SessionRequest } from '@sylph/engine';
import { sessionId } from '@sylph/model';
import * as z from 'zod';

const sessionRequest = z.strictObject({
  argv: z.array(z.string()),
  path: z.string(),
  env: z.record(z.string(), z.string()),
  dir: z.string(),
  user: z.string(),
  tty: z.strictObject({ cols: z.int(), rows: z.int() }).nullable(),
  stdin: z.boolean(),
  maxRunAfterDisconnectMs: z.number().nonnegative().nullable(),
  job: z
    .strictObject({
      input: z.string(),
      timeoutMs: z.number().positive().nullable(),
      idempotencyKey: z.string().nullable(),
      notify: z.strictObject({ url: z.string(), secret: z.string() }).nullable(),
    })
    .optional(),
}) satisfies z.ZodType<SessionRequest>;

const sessionEnd = z.discriminatedUnion('how', [
  z.strictObject({
    how: z.literal('exited'),
    code: z.int(),
    signal: z.string().nullable(),
    cause: z.enum(['timeout', 'kill']).optional(),
    at: z.iso.datetime(),
  }),
  z.strictObject({
    how: z.literal('not-started'),
    code: z.union([z.literal(126), z.literal(127)]),
    reason: z.string(),
    at: z.iso.datetime(),
  }),
  z.strictObject({ how: z.literal('lost'), reason: z.string(), at: z.iso.datetime() }),
]) satisfies z.ZodType<SessionEnd>;

/** `session.json`, version 1: a session's record. Without `end` it runs, or did when its daemon died. */
const sessionManifest = z.strictObject({
  version: z.literal(1),
  id: sessionId,
  request: sessionRequest,
  createdAt: z.iso.datetime(),
  /** Guest pid, 0 until it started. */
  pid: z.int().nonnegative(),
  resolvedPath: z.string(),
  end: sessionEnd.optional(),
  /** Somebody who wants to hear of a job's end is going to. */
  notified: z.boolean().optional(),
  /** Input bytes taken, of one that has ended; of a running one the guest knows better. */
  inputOffset: z.int().nonnegative().optional(),
});
export type SessionManifest = z.output<typeof sessionManifest>;

/** File of the record in a session's directory. */
export const manifestName = 'session.json';

/** Reads a session's record. Throws on anything that is not one. */
export async function readManifest(dir: string): Promise<SessionManifest> {
  return sessionManifest.parse(JSON.parse(await readFile(path.join(dir, manifestName), 'utf8')));
}

/** Writes a first record: one write, which a daemon crash leaves whole or not at all. */
export async function createManifest(dir: string, manifest: SessionManifest): Promise<void> {
  await writeFile(path.join(dir, manifestName), JSON.stringify(manifest), { flag: 'wx' });
}

/** Replaces a record; a daemon crash leaves the old or the new one. */
export async function replaceManifest(dir: string, manifest: SessionManifest): Promise<void> {
  const fresh = path.join(dir, `${manifestName}.new`);
  await writeFile(fresh, JSON.stringify(manifest));
  await rename(fresh, path.join(dir, manifestName));
}
