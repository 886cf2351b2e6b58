import * as z from 'zod';

/** Most ports of a guest that are looked at; the agent tells of the lowest. */
export const maxGuestPorts = 1024;

/** Longest line of a port watch either side accepts, bytes: a list of {@link maxGuestPorts}. */
export const maxPortLineBytes = 256 * 1024;

/** A TCP port somebody in the guest listens on. */
export const guestPort = z.object({
  port: z.int().min(1).max(65_535),
  /** What to dial inside to reach it: wildcard and loopback are 127.0.0.1, or ::1 where only that is bound. */
  address: z.union([z.ipv4(), z.ipv6()]),
  /** Process that holds the socket; 0 when nobody was found to hold it. */
  pid: z.int().nonnegative(),
  /** Id of the host's process that this one descends from. */
  session: z.string().max(128).optional(),
});
export type GuestPort = z.output<typeof guestPort>;

/** A line of `GET /v1/ports/watch`: first all ports, then each change. */
export const guestPortLine = z.union([
  z.object({ ports: z.array(guestPort).max(maxGuestPorts) }),
  z.object({ opened: guestPort }),
  z.object({ closed: guestPort }),
]);
export type GuestPortLine = z.output<typeof guestPortLine>;

/** Answer of a CONNECT that made no connection: an errno's name, `ENOTFOUND` for an unknown name. */
export const tunnelFailure = z.object({ error: z.string().max(4096), code: z.string().max(32) });
