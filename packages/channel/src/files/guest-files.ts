import type http2 from 'node:http2';
import type { FileArchive, FileCallOptions, FileContent, FileTarget, GuestFiles, WriteOptions } from '@sylph/engine';
import {
  guestChangedModes,
  guestChangedOwners,
  guestCopied,
  guestDeleted,
  guestFileEntry,
  guestFileFailure,
  guestRenamed,
  guestUnpacked,
  guestUpload,
  guestWatchLine,
  guestWritten,
  maxFileLineBytes,
  type GuestChangedModes,
  type GuestChangedOwners,
  type GuestCopied,
  type GuestDeleted,
  type GuestFileEntry,
  type GuestRenamed,
  type GuestUnpacked,
  type GuestWatchLine,
  type GuestWritten,
} from '@sylph/model';
import * as z from 'zod';
import { cleanText } from '../clean-text.ts';
import { agentFailed } from '../failure.ts';
import { parseJson } from '../json-request.ts';
import { LineSplitter } from '../lines.ts';
import { FileStream, type FileRequest } from './file-stream.ts';

/** Until a guest has opened, looked or renamed. */
const quickMs = 30_000;
/** Until a guest has walked a tree, or flushed what it was sent. */
const longMs = 15 * 60_000;

/** {@link GuestFiles} over a data session. `session` throws when there is none. */
export class HttpGuestFiles implements GuestFiles {
  readonly #session: () => http2.ClientHttp2Session;

  constructor(session: () => http2.ClientHttp2Session) {
    this.#session = session;
  }

  async read(
    target: FileTarget,
    range: { offset: number; lengthBytes?: number | undefined } | undefined,
    { signal }: FileCallOptions,
  ): Promise<FileContent> {
    const { stream, headers } = await this.#open({
      method: 'GET',
      path: address('content', { ...target, offset: range?.offset, length: range?.lengthBytes }),
      signal,
      answerMs: quickMs,
    });
    try {
      const sizeBytes = numberIn(headers, 'x-file-size');
      const offset = numberIn(headers, 'x-content-offset');
      const mtimeMs = numberIn(headers, 'x-file-mtime', { negative: true });
      const mode = textIn(headers, 'x-file-mode', /^[0-7]{4}$/);
      if (offset > sizeBytes) throw agentFailed("the guest's agent sends from behind the end of a file");
      const rest = sizeBytes - offset;
      const lengthBytes = sizeBytes === 0 ? undefined : Math.min(rest, range?.lengthBytes ?? rest);
      return { sizeBytes, mode, mtimeMs, offset, lengthBytes, bytes: exactly(stream.bytes(), lengthBytes) };
    } catch (error) {
      stream[Symbol.dispose]();
      throw error;
    }
  }

  async write(target: FileTarget, body: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<GuestWritten> {
    const { mode, parents, upload, lengthBytes, signal } = options;
    const { stream } = await this.#open({
      method: 'PUT',
      path: address('content', {
        ...target,
        mode,
        parents,
        upload: upload?.id,
        offset: upload?.offset,
        total: upload?.totalBytes,
      }),
      body,
      lengthBytes,
      signal,
      answerMs: longMs,
    });
    return stream.json(guestWritten, 'what it wrote');
  }

  async uploadSize(target: FileTarget, upload: string, { signal }: FileCallOptions): Promise<number> {
    const path = address('upload', { ...target, upload });
    const { stream } = await this.#open({ method: 'GET', path, signal, answerMs: quickMs });
    return (await stream.json(guestUpload, 'the size of an upload')).sizeBytes;
  }

  async list(
    target: FileTarget,
    { recursive, pattern, signal }: FileCallOptions & { recursive: boolean; pattern: string | undefined },
  ): Promise<AsyncIterable<GuestFileEntry>> {
    const path = address('list', { ...target, recursive, pattern });
    const { stream } = await this.#open({ method: 'GET', path, signal, answerMs: quickMs });
    return entriesOf(stream.bytes());
  }

  remove(target: FileTarget, options: FileCallOptions & { recursive: boolean }): Promise<GuestDeleted> {
    const { recursive, signal } = options;
    return this.#post('delete', { ...target, recursive }, guestDeleted, 'what it removed', { signal });
  }

  rename(source: FileTarget, dest: string, { signal }: FileCallOptions): Promise<GuestRenamed> {
    const fields = { source: source.path, dest, user: source.user };
    return this.#post('rename', fields, guestRenamed, 'what it renamed', { signal });
  }

  copy(
    source: FileTarget,
    dest: string,
    options: FileCallOptions & { recursive: boolean; preserveAttrs: boolean },
  ): Promise<GuestCopied> {
    const { recursive, preserveAttrs, signal } = options;
    const fields = { source: source.path, dest, user: source.user, recursive, preserveAttrs };
    return this.#post('copy', fields, guestCopied, 'what it copied', { signal });
  }

  chmod(
    target: FileTarget,
    mode: string,
    { recursive, signal }: FileCallOptions & { recursive: boolean },
  ): Promise<GuestChangedModes> {
    return this.#post('chmod', { ...target, mode, recursive }, guestChangedModes, 'what it changed', { signal });
  }

  chown(
    target: FileTarget,
    { uid, gid }: { uid: number | string | undefined; gid: number | string | undefined },
    { recursive, signal }: FileCallOptions & { recursive: boolean },
  ): Promise<GuestChangedOwners> {
    return this.#post('chown', { ...target, uid, gid, recursive }, guestChangedOwners, 'what it changed', { signal });
  }

  async watch(
    paths: string[],
    { user, recursive, signal }: FileCallOptions & { user: string; recursive: boolean },
  ): Promise<AsyncIterable<GuestWatchLine>> {
    const { stream } = await this.#open({
      method: 'POST',
      path: address('watch', {}),
      json: { paths, user, recursive },
      signal,
      answerMs: longMs,
    });
    return linesOf(stream.bytes({ stalls: true }), guestWatchLine);
  }

  async archive(target: FileTarget, { signal }: FileCallOptions): Promise<FileArchive> {
    const path = address('archive', { ...target });
    const { stream, headers } = await this.#open({ method: 'GET', path, signal, answerMs: longMs });
    try {
      return {
        entries: numberIn(headers, 'x-archive-entries'),
        contentBytes: numberIn(headers, 'x-archive-bytes'),
        bytes: stream.bytes(),
      };
    } catch (error) {
      stream[Symbol.dispose]();
      throw error;
    }
  }

  async unpack(
    target: FileTarget,
    body: AsyncIterable<Uint8Array>,
    { parents, owners, signal }: FileCallOptions & { parents: boolean; owners: boolean },
  ): Promise<GuestUnpacked> {
    const path = address('archive', { ...target, parents, owners });
    const { stream } = await this.#open({ method: 'PUT', path, body, signal, answerMs: longMs });
    return stream.json(guestUnpacked, 'what it unpacked');
  }

  async #post<T>(
    name: string,
    json: unknown,
    schema: { parse(value: unknown): T },
    what: string,
    { signal }: FileCallOptions,
  ): Promise<T> {
    const { stream } = await this.#open({ method: 'POST', path: address(name, {}), json, signal, answerMs: longMs });
    return stream.json(schema, what);
  }

  async #open(request: FileRequest): ReturnType<typeof FileStream.open> {
    return FileStream.open(this.#session(), request);
  }
}

function address(name: string, fields: Record<string, string | number | boolean | undefined>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined && value !== false) query.set(key, String(value));
  return `/v1/files/${name}?${query.toString()}`;
}

/** Passes bytes on and holds them against their promised number. */
async function* exactly(
  bytes: AsyncIterable<Buffer>,
  lengthBytes: number | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  let left = lengthBytes ?? Infinity;
  for await (const piece of bytes) {
    left -= piece.length;
    if (left < 0) throw agentFailed("the guest's agent sent more of a file than it promised");
    yield piece;
  }
  if (lengthBytes !== undefined && left > 0) throw agentFailed(`the file has become shorter while it was read`);
}

const listLine = z.union([guestFileEntry, guestFileFailure]);

/** The entries of a list. Throws `agent_failed` where the guest says that it broke off. */
async function* entriesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<GuestFileEntry, void, undefined> {
  for await (const line of linesOf(bytes, listLine)) {
    if (!('name' in line)) throw agentFailed(`the list broke off: ${line.error}`);
    yield line;
  }
}

/** JSON objects, one a line; empty lines say that more is to come. */
async function* linesOf<T>(
  bytes: AsyncIterable<Buffer>,
  schema: { parse(value: unknown): T },
): AsyncGenerator<T, void, undefined> {
  const splitter = new LineSplitter(maxFileLineBytes);
  for await (const piece of bytes)
    for (const line of splitter.push(piece)) if (line.length > 0) yield parseJson(schema, line, 'a line');
}

function numberIn(headers: http2.IncomingHttpHeaders, name: string, { negative = false } = {}): number {
  const value = Number(textIn(headers, name, negative ? /^-?\d{1,16}$/ : /^\d{1,16}$/));
  if (!Number.isSafeInteger(value)) throw agentFailed(`the guest's agent gave ${name} that cannot be read`);
  return value;
}

function textIn(headers: http2.IncomingHttpHeaders, name: string, shape: RegExp): string {
  const value = headers[name];
  if (typeof value !== 'string' || !shape.test(value))
    throw agentFailed(`the guest's agent gave ${name} that cannot be read: ${cleanText(String(value), 64)}`);
  return value;
}
