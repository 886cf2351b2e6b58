import { delay, linkedController, timeoutError } from '../deadline.ts';
import { ClientError } from '../errors.ts';
import type { Http } from '../http.ts';
import { chunksOf } from '../streams.ts';
import { queryOf, type FileOptions } from './options.ts';

/** A file on its way. */
export interface FileDownload {
  /** Of the whole file; undefined for one of the kernel's, which has none. */
  sizeBytes: number | undefined;
  mode: number;
  mtimeMs: number;
  /** One reader, who has to read to the end or leave the loop. */
  bytes: AsyncIterable<Uint8Array>;
}

interface Opened {
  sizeBytes: number | undefined;
  mode: number;
  mtimeMs: number;
  body: AsyncIterable<Uint8Array>;
}

/** Waits between attempts: 0.1 s, doubled up to 3 s. */
const firstPauseMs = 100;
const longestPauseMs = 3_000;

/** Reads a file from an offset; a connection that breaks is taken up again where it broke as long as the file is the same. */
export async function download(
  http: Http,
  url: string,
  path: string,
  options: FileOptions & { offset?: number | undefined },
): Promise<FileDownload> {
  const link = linkedController([options.signal, http.options.signal]);
  const { signal } = link.controller;
  const begin = options.offset ?? 0;
  const open = async (offset: number): Promise<Opened> => {
    const answer = await http.response(url, {
      query: queryOf(path, options),
      headers: offset === 0 ? {} : { range: `bytes=${offset}-` },
      signal,
    });
    const length = answer.headers.get('content-length');
    return {
      sizeBytes: length === null ? undefined : Number(length) + (answer.status === 206 ? offset : 0),
      mode: parseInt(answer.headers.get('x-file-mode') ?? '644', 8),
      mtimeMs: Number(answer.headers.get('x-file-mtime') ?? NaN),
      body: answer.body === null ? emptyBody() : chunksOf(answer.body),
    };
  };
  const first = await open(begin).catch((error: unknown) => {
    link.unlink();
    throw error;
  });
  const { sizeBytes, mode, mtimeMs } = first;

  async function* bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    let at = begin;
    let opened = first;
    let failures = 0;
    const stallMs = http.options.timeouts.streamStallMs;
    try {
      for (;;) {
        let timer: ReturnType<typeof setTimeout> | undefined;
        try {
          const iterator = opened.body[Symbol.asyncIterator]();
          for (;;) {
            timer = setTimeout(() => link.controller.abort(timeoutError(http.options.baseUrl, stallMs)), stallMs);
            const next = await iterator.next();
            clearTimeout(timer);
            if (next.done === true) break;
            at += next.value.length;
            failures = 0;
            yield next.value;
          }
          if (sizeBytes === undefined || at === sizeBytes) return;
          throw new Error('the answer ended early');
        } catch (error) {
          clearTimeout(timer);
          signal.throwIfAborted();
          opened = await again(error);
        }
      }
    } finally {
      link.unlink();
      link.controller.abort(new Error('the reader left'));
    }

    /** Tries until there is an answer; gives up with the reason of the break. */
    async function again(broken: unknown): Promise<Opened> {
      const lost = new ClientError(
        'connection_lost',
        `the connection to ${http.options.baseUrl} broke in the middle of ${path}`,
        {
          retryable: true,
          cause: broken,
        },
      );
      for (;;) {
        if (sizeBytes === undefined || ++failures > http.options.resumeAttempts) throw lost;
        await delay(Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs), signal);
        let next: Opened;
        try {
          next = await open(at);
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof ClientError && error.retryable) continue;
          throw error;
        }
        if (next.sizeBytes === sizeBytes && next.mtimeMs === mtimeMs) return next;
        throw new ClientError('connection_lost', `${path} has changed while it was read`, { retryable: true });
      }
    }
  }
  return { sizeBytes, mode, mtimeMs, bytes: bytes() };
}

async function* emptyBody(): AsyncGenerator<Uint8Array, void, undefined> {}
