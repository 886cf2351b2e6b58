import type {
  GuestChangedModes,
  GuestChangedOwners,
  GuestCopied,
  GuestDeleted,
  GuestFileEntry,
  GuestRenamed,
  GuestUnpacked,
  GuestWatchLine,
  GuestWritten,
} from '@sylph/model';

/** A path in a guest and the user whose permissions count. */
export interface FileTarget {
  /** Absolute. */
  path: string;
  user: string;
}

/** Options of everything here; `signal` ends it in the guest too. */
export interface FileCallOptions {
  signal: AbortSignal;
}

/** A file's content under way. */
export interface FileContent {
  /** Of the whole file. */
  sizeBytes: number;
  /** Octal. */
  mode: string;
  /** Milliseconds since 1970. */
  mtimeMs: number;
  /** Where `bytes` begins. */
  offset: number;
  /** How many come; undefined for a file of the kernel's, which has a content but no size. */
  lengthBytes: number | undefined;
  /** One consumer, who has to read it or return. As fast as it is read. Throws `agent_failed` when less comes than promised. */
  bytes: AsyncIterable<Uint8Array>;
}

/** A tree under way as tar. `entries` and `bytes` as they were when it began. */
export interface FileArchive {
  entries: number;
  contentBytes: number;
  bytes: AsyncIterable<Uint8Array>;
}

/** How a file is written. */
export interface WriteOptions extends FileCallOptions {
  /** Octal; undefined: that of the file it replaces, or 0644. */
  mode: string | undefined;
  parents: boolean;
  /** Of the body, where it is known. */
  lengthBytes: number | undefined;
  /** The body is a part of this: it is kept when it breaks off, and the file appears once `totalBytes` are there. */
  upload?: { id: string; offset: number; totalBytes: number } | undefined;
}

/**
 * Files of a guest. Everything has deadlines and rejects with {@link GuestFileError} when the guest refuses, with `agent_failed` when it does not answer in order, and with the reason of `signal`.
 * Paths in answers are the guest's words: of bounded length, otherwise anything.
 */
export interface GuestFiles {
  /** `range`: a negative offset counts from the end. Rejects with status 416 and the size for one outside of the file. */
  read(
    target: FileTarget,
    range: { offset: number; lengthBytes?: number | undefined } | undefined,
    options: FileCallOptions,
  ): Promise<FileContent>;
  /** The file appears whole or not at all. A body that throws leaves nothing, but for an upload. `body` is let go of when the guest refuses. */
  write(target: FileTarget, body: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<GuestWritten>;
  /** Bytes there are of an upload. */
  uploadSize(target: FileTarget, upload: string, options: FileCallOptions): Promise<number>;
  /** A directory's entries, or the one that describes a file. */
  list(
    target: FileTarget,
    options: FileCallOptions & { recursive: boolean; pattern: string | undefined },
  ): Promise<AsyncIterable<GuestFileEntry>>;
  remove(target: FileTarget, options: FileCallOptions & { recursive: boolean }): Promise<GuestDeleted>;
  rename(source: FileTarget, dest: string, options: FileCallOptions): Promise<GuestRenamed>;
  copy(
    source: FileTarget,
    dest: string,
    options: FileCallOptions & { recursive: boolean; preserveAttrs: boolean },
  ): Promise<GuestCopied>;
  chmod(
    target: FileTarget,
    mode: string,
    options: FileCallOptions & { recursive: boolean },
  ): Promise<GuestChangedModes>;
  /** Numbers, or names of the guest's. */
  chown(
    target: FileTarget,
    owner: { uid: number | string | undefined; gid: number | string | undefined },
    options: FileCallOptions & { recursive: boolean },
  ): Promise<GuestChangedOwners>;
  /** Changes from the moment it resolves until the reader leaves. The first line is `subscribed`. */
  watch(
    paths: string[],
    options: FileCallOptions & { user: string; recursive: boolean },
  ): Promise<AsyncIterable<GuestWatchLine>>;
  archive(target: FileTarget, options: FileCallOptions): Promise<FileArchive>;
  /** Unpacks a tar below a directory. */
  unpack(
    target: FileTarget,
    body: AsyncIterable<Uint8Array>,
    options: FileCallOptions & { parents: boolean; owners: boolean },
  ): Promise<GuestUnpacked>;
}

/** The guest could not do it: HTTP status, name of the errno, path and text as the agent gave them. */
export class GuestFileError extends Error {
  readonly status: number;
  readonly errno: string;
  readonly path: string;
  /** Of the file, with status 416; of an upload, with 409. */
  readonly sizeBytes: number | undefined;

  constructor(failure: {
    status: number;
    errno: string;
    path: string;
    message: string;
    sizeBytes?: number | undefined;
  }) {
    super(failure.message);
    this.name = 'GuestFileError';
    this.status = failure.status;
    this.errno = failure.errno;
    this.path = failure.path;
    this.sizeBytes = failure.sizeBytes;
  }
}
