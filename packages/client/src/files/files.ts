import type {
  ChangedModes,
  ChangedOwners,
  CopiedFiles,
  DeletedFiles,
  FileEntry,
  UnpackedArchive,
  WrittenFile,
} from '@sylph/model';
import { segment, type Http } from '../http.ts';
import { isObject } from '../json.ts';
import { joinBytes } from '../join-bytes.ts';
import { unexpected } from '../sprites.ts';
import { gather } from '../streams.ts';
import { download, type FileDownload } from './download.ts';
import {
  modeText,
  queryOf,
  type FileChange,
  type FileOptions,
  type UploadSource,
  type WriteFileOptions,
} from './options.ts';
import { sendContent } from './sending.ts';
import { upload } from './upload.ts';
import { watch } from './watch.ts';

/** A pattern no name matches: a list with it tells a directory, which is empty then, from what describes itself. */
const noName = '/';
/** A tar without entries: two blocks of zeros (pax, "ustar Interchange Format"). */
const emptyTar = new Uint8Array(1024);
/** Walking a tree may take this long. */
const longMs = 15 * 60_000;

/**
 * Files of a sprite; every call wakes it. Errors are ClientError with the name of an errno as `code` where the sprite refused: `ENOENT`, `EACCES`, `ENOSPC`, ….
 */
export class SpriteFiles {
  readonly #http: Http;
  readonly #base: string;

  constructor(http: Http, sprite: string) {
    this.#http = http;
    this.#base = `/v1/sprites/${segment(sprite)}/fs`;
  }

  /** A file as a stream, from `offset` on. A dropped connection is taken up again unless the file has changed. */
  read(path: string, options: FileOptions & { offset?: number | undefined } = {}): Promise<FileDownload> {
    return download(this.#http, `${this.#base}/read`, path, options);
  }

  /** A whole file; of any size, so mind the memory. */
  async readBytes(path: string, options: FileOptions = {}): Promise<Uint8Array> {
    const { bytes } = await this.read(path, options);
    return joinBytes(await gather(bytes));
  }

  async readText(path: string, options: FileOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.readBytes(path, options));
  }

  /** Writes a file, which appears whole or not at all. A stream is sent once; {@link upload} goes on after a dropped connection. */
  async write(
    path: string,
    content: Uint8Array | string | AsyncIterable<Uint8Array>,
    options: WriteFileOptions = {},
  ): Promise<WrittenFile> {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const answer = await sendContent(this.#http, `${this.#base}/write`, {
      query: {
        ...queryOf(path, options),
        mode: modeText(options.mode),
        mkdirParents: options.mkdirs === true ? 'true' : undefined,
      },
      content: bytes,
      signal: options.signal,
      onBytes: (sent) => options.onProgress?.(sent, bytes instanceof Uint8Array ? bytes.length : undefined),
    });
    return answer as WrittenFile;
  }

  /** Writes a file from a source that can be read again, and goes on where a dropped connection broke off. With `id` also an upload that another process began: 1 to 64 letters, digits, - and _. */
  upload(
    path: string,
    source: UploadSource,
    options: WriteFileOptions & { id?: string | undefined } = {},
  ): Promise<WrittenFile> {
    return upload(this.#http, this.#base, path, source, options);
  }

  /** Entries of a directory; of a file, the one that describes it. */
  async list(
    path: string,
    options: FileOptions & { recursive?: boolean | undefined; pattern?: string | undefined } = {},
  ): Promise<FileEntry[]> {
    const answer = await this.#http.json(`${this.#base}/list`, {
      query: {
        ...queryOf(path, options),
        recursive: options.recursive === true ? 'true' : undefined,
        pattern: options.pattern,
      },
      signal: options.signal,
      timeoutMs: longMs,
    });
    if (!isObject(answer) || !Array.isArray(answer['entries'])) throw unexpected('a list of files');
    return answer['entries'] as FileEntry[];
  }

  /** What a path leads to: the entry of a file, or that it is a directory. Links are followed. Throws `ENOENT`. */
  async stat(path: string, options: FileOptions = {}): Promise<{ isDir: true } | (FileEntry & { isDir: false })> {
    const [entry] = await this.list(path, { ...options, pattern: noName });
    return entry === undefined ? { isDir: true } : { ...entry, isDir: false };
  }

  async remove(path: string, options: FileOptions & { recursive?: boolean | undefined } = {}): Promise<DeletedFiles> {
    const query = { ...queryOf(path, options), recursive: options.recursive === true ? 'true' : undefined };
    const { signal } = options;
    const answer = await this.#http.json(`${this.#base}/delete`, {
      method: 'DELETE',
      query,
      signal,
      timeoutMs: longMs,
    });
    return answer as DeletedFiles;
  }

  async rename(source: string, dest: string, options: FileOptions = {}): Promise<void> {
    await this.#post('rename', { source, dest }, options);
  }

  /** To exactly `dest`. */
  async copy(
    source: string,
    dest: string,
    options: FileOptions & { recursive?: boolean | undefined; preserveAttrs?: boolean | undefined } = {},
  ): Promise<CopiedFiles> {
    const { recursive, preserveAttrs } = options;
    return (await this.#post('copy', { source, dest, recursive, preserveAttrs }, options)) as CopiedFiles;
  }

  async chmod(
    path: string,
    mode: number,
    options: FileOptions & { recursive?: boolean | undefined } = {},
  ): Promise<ChangedModes> {
    const { recursive } = options;
    return (await this.#post('chmod', { path, mode: modeText(mode), recursive }, options)) as ChangedModes;
  }

  async chown(
    path: string,
    owner: { uid?: number | string | undefined; gid?: number | string | undefined },
    options: FileOptions & { recursive?: boolean | undefined } = {},
  ): Promise<ChangedOwners> {
    const { recursive } = options;
    return (await this.#post('chown', { path, ...owner, recursive }, options)) as ChangedOwners;
  }

  /** Makes a directory and those above it; one that is there is fine. */
  async mkdir(path: string, options: FileOptions = {}): Promise<void> {
    await this.unpack(path, emptyTar, { ...options, mkdirs: true });
  }

  /** Changes from the moment it resolves until the reader leaves. */
  watch(
    paths: string | readonly string[],
    options: FileOptions & { recursive?: boolean | undefined } = {},
  ): Promise<AsyncIterable<FileChange>> {
    return watch(this.#http, this.#base, typeof paths === 'string' ? [paths] : paths, options);
  }

  /** A tree as tar, with how much there is in it. */
  async archive(
    path: string,
    options: FileOptions = {},
  ): Promise<{ entries: number; contentBytes: number; bytes: ReadableStream<Uint8Array> }> {
    const signals = [options.signal, this.#http.options.signal].filter((signal) => signal !== undefined);
    const answer = await this.#http.response(`${this.#base}/archive`, {
      query: queryOf(path, options),
      signal: AbortSignal.any(signals),
      timeoutMs: longMs,
    });
    return {
      entries: Number(answer.headers.get('x-archive-entries') ?? 0),
      contentBytes: Number(answer.headers.get('x-archive-bytes') ?? 0),
      bytes: answer.body ?? new ReadableStream<Uint8Array>(),
    };
  }

  /** Unpacks a tar below a directory. */
  async unpack(
    path: string,
    tar: Uint8Array | AsyncIterable<Uint8Array>,
    options: FileOptions & Pick<WriteFileOptions, 'mkdirs' | 'onProgress'> & { owners?: boolean | undefined } = {},
  ): Promise<UnpackedArchive> {
    const answer = await sendContent(this.#http, `${this.#base}/archive`, {
      query: {
        ...queryOf(path, options),
        mkdirParents: options.mkdirs === true ? 'true' : undefined,
        owners: options.owners === true ? 'true' : undefined,
      },
      content: tar,
      signal: options.signal,
      onBytes: (sent) => options.onProgress?.(sent, undefined),
    });
    return answer as UnpackedArchive;
  }

  #post(verb: string, fields: Record<string, unknown>, options: FileOptions): Promise<unknown> {
    const { workingDir = '/', asRoot = false, signal } = options;
    return this.#http.json(`${this.#base}/${verb}`, {
      method: 'POST',
      body: { ...fields, workingDir, asRoot },
      signal,
      timeoutMs: longMs,
    });
  }
}
