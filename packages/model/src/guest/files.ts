import * as z from 'zod';

/** Longest path the guest's kernel takes, bytes (PATH_MAX less the final NUL). */
export const maxPathBytes = 4095;

/** Longest line of a list or of a watch, bytes: a path, escaped, and what is said of it. */
export const maxFileLineBytes = 64 * 1024;

/** Longest JSON request about files that the agent takes, bytes. */
export const maxFileRequestBytes = 256 * 1024;

const path = z.string().max(8192);
const mode = z.string().regex(/^[0-7]{1,5}$/);
const size = z.int().nonnegative();
const code = z.string().max(32);

/** Body of a refusal. `sizeBytes`: what is there of an upload that does not go on where the request says. */
export const guestFileFailure = z.object({
  error: z.string().max(16_384),
  path,
  code,
  sizeBytes: size.optional(),
});

/** Kinds of entries of a directory. */
export const fileType = z.enum(['file', 'directory', 'symlink', 'fifo', 'socket', 'device']);

/** A line of `GET /v1/files/list`. `error`: why what is in this directory is missing from a recursive list. */
export const guestFileEntry = z.object({
  name: path,
  path,
  type: fileType,
  size,
  mode,
  modTime: z.string().max(64),
  isDir: z.boolean(),
  error: code.optional(),
});
export type GuestFileEntry = z.output<typeof guestFileEntry>;

/** Answer of `PUT /v1/files/content`. */
export const guestWritten = z.object({ path, sizeBytes: size, mode });
export type GuestWritten = z.output<typeof guestWritten>;

/** Answer of `GET /v1/files/upload`. */
export const guestUpload = z.object({ sizeBytes: size });

/** Answer of `POST /v1/files/delete`. Lists are cut at half a MiB, counts are exact; so in the answers that follow. */
export const guestDeleted = z.object({ deleted: z.array(path), count: size });
export type GuestDeleted = z.output<typeof guestDeleted>;

/** Answer of `POST /v1/files/rename`. */
export const guestRenamed = z.object({ source: path, dest: path });
export type GuestRenamed = z.output<typeof guestRenamed>;

/** Answer of `POST /v1/files/copy`. */
export const guestCopied = z.object({
  copied: z.array(z.object({ source: path, dest: path })),
  count: size,
  totalBytes: size,
});
export type GuestCopied = z.output<typeof guestCopied>;

/** Answer of `POST /v1/files/chmod`. */
export const guestChangedModes = z.object({ affected: z.array(z.object({ path, mode })), count: size });
export type GuestChangedModes = z.output<typeof guestChangedModes>;

/** Answer of `POST /v1/files/chown`. */
export const guestChangedOwners = z.object({
  affected: z.array(z.object({ path, uid: size, gid: size })),
  count: size,
});
export type GuestChangedOwners = z.output<typeof guestChangedOwners>;

/** Answer of `PUT /v1/files/archive`. */
export const guestUnpacked = z.object({ path, count: size, totalBytes: size });
export type GuestUnpacked = z.output<typeof guestUnpacked>;

const eventKind = z.enum(['write', 'create', 'remove', 'rename', 'chmod']);

/** A line of `POST /v1/files/watch`; `subscribed` is the first. */
export const guestWatchLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('subscribed') }),
  z.object({
    type: z.literal('event'),
    event: eventKind,
    path,
    timestamp: z.string().max(64),
    size,
    isDir: z.boolean(),
  }),
  z.object({ type: z.literal('overflow'), error: z.string().max(1024) }),
  z.object({ type: z.literal('error'), error: z.string().max(16_384), path: path.optional(), code: code.optional() }),
]);
export type GuestWatchLine = z.output<typeof guestWatchLine>;
