import * as z from 'zod';

/** Longest line about a listener inside that either side accepts, bytes. */
export const maxSocketLineBytes = 4_096;

/** Longest path of a Unix socket (unix(7)). */
export const maxSocketPathBytes = 107;

/** A line of `POST /v1/sockets/listen`: first what is listened on, then each connection that waits to be taken. */
export const guestSocketLine = z.union([
  z.object({ listening: z.string().min(1).max(256) }),
  z.object({ accepted: z.string().regex(/^[0-9]{1,20}$/), from: z.string().max(256) }),
]);
