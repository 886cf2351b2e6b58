import * as z from 'zod';

/** Longest body of a call of a guest's program, characters. */
const maxCallLength = 64 * 1024;

/** Longest line of a guest's calls, bytes: JSON may write each byte of a body as six. */
export const maxCallLineBytes = 512 * 1024;

/** Longest time a task of a guest holds it awake, ms. */
export const maxTaskMs = 3_600_000;

/** A request of a guest's program that the daemon is to answer. */
export const guestCall = z.object({
  id: z.string().regex(/^[0-9]{1,20}$/),
  method: z.enum(['GET', 'POST', 'PUT', 'DELETE']),
  path: z.string().max(4_096),
  body: z.string().max(maxCallLength),
});
export type GuestCall = z.output<typeof guestCall>;

/** A line of `GET /v1/calls`: a call, or for how long tasks are to hold the sprite awake. */
export const guestCallLine = z.union([guestCall, z.object({ tasksMs: z.int().nonnegative() })]);
export type GuestCallLine = z.output<typeof guestCallLine>;
