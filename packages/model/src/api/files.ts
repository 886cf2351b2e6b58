import * as z from 'zod';
import { fileType } from '../guest/files.ts';
import { flag, wholeNumber } from './query.ts';

/** Octal, with or without a leading zero; more digits than a mode has are refused. */
const modeText = z
  .string()
  .regex(/^0?[0-7]{1,4}$/, 'is to be an octal mode, like 0644')
  .meta({ examples: ['0644'] });

/** As {@link modeText}; a JSON number is what old clients send, meant as a mode's value: 420 is 0644. */
const modeInBody = z.union([
  modeText,
  z
    .int()
    .min(0)
    .max(0o7777)
    .transform((value) => value.toString(8).padStart(4, '0')),
]);

// Checked by the route, which answers with the path and an errno's name as for everything else that is wrong with one.
const path = z.string();

const where = {
  workingDir: path.optional().meta({ description: 'Absolute; where relative paths begin' }),
  asRoot: flag.meta({ description: 'With the permissions of root instead of the user `sprite`' }),
};

const whereInBody = {
  workingDir: path.nullish(),
  asRoot: z.boolean().nullish().meta({ description: 'With the permissions of root instead of the user `sprite`' }),
};

/** Query of `GET …/fs/read`. */
export const readFileQuery = z.object({ path, ...where });

/** Query of `PUT …/fs/write`. */
export const writeFileQuery = z.object({
  path,
  ...where,
  mode: modeText.optional().meta({ description: 'By default that of the file that is replaced, or 0644' }),
  mkdir: flag.meta({ description: 'As `mkdirParents`' }),
  mkdirParents: flag.meta({
    description:
      'Accepted: directories above that are missing are made in any case, with mode 0755, as clients expect that send `false`',
  }),
  upload: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'is to be 1 to 64 letters, digits, - and _')
    .optional()
    .meta({
      description:
        'Name, chosen by the client, of an upload that the body is a part of, beginning at `offset` of `total` bytes. What arrives is kept when the connection breaks; the file appears once all bytes are there. 409 with `size_bytes` for another offset than the next',
    }),
  offset: wholeNumber.optional(),
  total: wholeNumber.optional(),
});

/** Query of `GET …/fs/upload`. */
export const uploadQuery = z.object({ path, ...where, upload: z.string().max(64) });

/** Query of `GET …/fs/list`. */
export const listFilesQuery = z.object({
  path,
  ...where,
  recursive: flag,
  pattern: z.string().max(4096).optional().meta({
    description:
      'Shell pattern (`*`, `?`, `[…]`) for names; one with a slash is held against paths below the listed directory',
  }),
});

/** Query of `DELETE …/fs/delete`. */
export const deleteFileQuery = z.object({ path, ...where, recursive: flag });

/** Body of `POST …/fs/rename`. */
export const renameFileRequest = z
  .strictObject({ source: path, dest: path, ...whereInBody })
  .meta({ id: 'RenameFileRequest' });

/** Body of `POST …/fs/copy`. */
export const copyFileRequest = z
  .strictObject({
    source: path,
    dest: path,
    ...whereInBody,
    recursive: z.boolean().nullish(),
    preserveAttrs: z
      .boolean()
      .nullish()
      .meta({ description: 'Keeps times, all mode bits and, as far as the user may, owners' }),
  })
  .meta({ id: 'CopyFileRequest' });

/** Body of `POST …/fs/chmod`. */
export const chmodFileRequest = z
  .strictObject({ path, ...whereInBody, mode: modeInBody, recursive: z.boolean().nullish() })
  .meta({ id: 'ChmodFileRequest' });

const owner = z.union([z.int().min(0).max(4_294_967_294), z.string().min(1).max(256)]).nullish();

/** Body of `POST …/fs/chown`. */
export const chownFileRequest = z
  .strictObject({
    path,
    ...whereInBody,
    uid: owner.meta({ description: 'Number, or name of a user in the sprite' }),
    gid: owner.meta({ description: 'Number, or name of a group in the sprite' }),
    recursive: z.boolean().nullish(),
  })
  .meta({ id: 'ChownFileRequest' });

/** First message of a client on `…/fs/watch`, and every further one. */
export const watchSubscribe = z.object({
  type: z.literal('subscribe'),
  paths: z.array(path).min(1).max(256),
  recursive: z.boolean().nullish(),
  ...whereInBody,
});

/** Query of `GET …/fs/archive`. */
export const readArchiveQuery = z.object({ path, ...where });

/** Query of `PUT …/fs/archive`. */
export const writeArchiveQuery = z.object({
  path,
  ...where,
  mkdir: flag.meta({ description: 'As `mkdirParents`' }),
  mkdirParents: flag.meta({ description: 'Makes the directory and those above where they are missing' }),
  owners: flag.meta({
    description:
      'Entries get the owners the archive names, by number, and their special mode bits; by default they belong to whom they are unpacked as',
  }),
});

const count = z.int().meta({ description: 'Exact, also where the list is cut' });
const cut = 'Cut at 512 KiB';

/** An entry of a directory. */
export const fileEntry = z
  .strictObject({
    name: z.string().meta({ description: 'Without a slash. Bytes that are no UTF-8 are shown as U+FFFD' }),
    path: z.string(),
    type: fileType,
    size: z.int(),
    mode: z.string(),
    modTime: z.string(),
    isDir: z.boolean().meta({ description: 'false for a symbolic link to a directory' }),
    error: z
      .string()
      .optional()
      .meta({ description: 'Name of the errno why what is in this directory is missing from a recursive list' }),
  })
  .meta({ id: 'FileEntry' });
export type FileEntry = z.output<typeof fileEntry>;

/** `GET …/fs/list`. */
export const listFilesResponse = z
  .strictObject({ path: z.string(), entries: z.array(fileEntry), count: z.int() })
  .meta({ id: 'FileList' });
export type FileList = z.output<typeof listFilesResponse>;

/** `PUT …/fs/write`. */
export const writeFileResponse = z
  .strictObject({ path: z.string(), size: z.int(), mode: z.string() })
  .meta({ id: 'WrittenFile' });
export type WrittenFile = z.output<typeof writeFileResponse>;

/** `GET …/fs/upload`. */
export const uploadResponse = z
  .strictObject({
    path: z.string(),
    size_bytes: z.int().meta({ description: 'What is there; the next part begins here' }),
  })
  .meta({ id: 'Upload' });

/** `DELETE …/fs/delete`. */
export const deleteFileResponse = z
  .strictObject({ deleted: z.array(z.string()).meta({ description: cut }), count })
  .meta({ id: 'DeletedFiles' });
export type DeletedFiles = z.output<typeof deleteFileResponse>;

/** `POST …/fs/rename`. */
export const renameFileResponse = z.strictObject({ source: z.string(), dest: z.string() }).meta({ id: 'RenamedFile' });

/** `POST …/fs/copy`. */
export const copyFileResponse = z
  .strictObject({
    copied: z.array(z.strictObject({ source: z.string(), dest: z.string() })).meta({ description: cut }),
    count,
    totalBytes: z.int().meta({ description: 'Bytes of content; holes are kept and not counted' }),
  })
  .meta({ id: 'CopiedFiles' });
export type CopiedFiles = z.output<typeof copyFileResponse>;

/** `POST …/fs/chmod`. */
export const chmodFileResponse = z
  .strictObject({
    affected: z.array(z.strictObject({ path: z.string(), mode: z.string() })).meta({ description: cut }),
    count,
  })
  .meta({ id: 'ChangedModes' });
export type ChangedModes = z.output<typeof chmodFileResponse>;

/** `POST …/fs/chown`. */
export const chownFileResponse = z
  .strictObject({
    affected: z.array(z.strictObject({ path: z.string(), uid: z.int(), gid: z.int() })).meta({ description: cut }),
    count,
  })
  .meta({ id: 'ChangedOwners' });
export type ChangedOwners = z.output<typeof chownFileResponse>;

/** `PUT …/fs/archive`. */
export const writeArchiveResponse = z
  .strictObject({ path: z.string(), count: z.int(), totalBytes: z.int() })
  .meta({ id: 'UnpackedArchive' });
export type UnpackedArchive = z.output<typeof writeArchiveResponse>;

/** Body of a refusal that concerns a file: `code` is the name of an errno. */
export const fileErrorBody = z
  .strictObject({
    error: z.string(),
    message: z.string(),
    path: z.string(),
    code: z.string().meta({ examples: ['ENOENT', 'EACCES', 'ENOSPC'] }),
    hint: z.string().meta({ description: 'What can be done next' }),
    retryable: z.boolean(),
    size_bytes: z.int().optional().meta({ description: 'Of an upload: what is there' }),
  })
  .meta({ id: 'FileError' });
export type FileErrorBody = z.output<typeof fileErrorBody>;

/** Text messages from the server on `…/fs/watch`. */
export type FileWatchMessage =
  | { type: 'subscribed'; paths: string[] }
  | {
      type: 'event';
      path: string;
      event: 'write' | 'create' | 'remove' | 'rename' | 'chmod';
      timestamp: string;
      size: number;
      isDir: boolean;
    }
  /** Events were lost. */
  | { type: 'overflow'; message: string }
  | { type: 'error'; message: string; path?: string; code?: string };
