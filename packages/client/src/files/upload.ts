import type { WrittenFile } from '@sylph/model';
import { delay, linkedController } from '../deadline.ts';
import { ClientError } from '../errors.ts';
import { isObject } from '../json.ts';
import type { Http } from '../http.ts';
import { modeText, queryOf, type UploadSource, type WriteFileOptions } from './options.ts';
import { sendContent } from './sending.ts';

const firstPauseMs = 100;
const longestPauseMs = 3_000;

/** Sends a file under a name of its own until all of it is there; what a broken connection has brought in is not sent again. */
export async function upload(
  http: Http,
  base: string,
  path: string,
  source: UploadSource,
  options: WriteFileOptions & { id?: string | undefined },
): Promise<WrittenFile> {
  const id = options.id ?? crypto.randomUUID();
  const { sizeBytes } = source;
  const link = linkedController([options.signal, http.options.signal]);
  const { signal } = link.controller;
  const query = queryOf(path, options);
  const present = async (): Promise<number> => {
    const answer = await http.json(`${base}/upload`, { query: { ...query, upload: id }, signal });
    return isObject(answer) && typeof answer['size_bytes'] === 'number' ? answer['size_bytes'] : 0;
  };
  let offset = options.id === undefined ? 0 : await present();
  let failures = 0;
  try {
    for (;;) {
      const began = offset;
      try {
        const written = await sendContent(http, `${base}/write`, {
          query: {
            ...query,
            mode: modeText(options.mode),
            mkdirParents: options.mkdirs === true ? 'true' : undefined,
            upload: id,
            offset: String(offset),
            total: String(sizeBytes),
          },
          content: source.from(offset),
          signal,
          onBytes: (sent) => options.onProgress?.(began + sent, sizeBytes),
        });
        return written as WrittenFile;
      } catch (error) {
        signal.throwIfAborted();
        if (!mayGoOn(error) || ++failures > http.options.resumeAttempts) throw error;
        await delay(Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs), signal);
        const now = await present().catch((thrown: unknown) => {
          signal.throwIfAborted();
          if (mayGoOn(thrown)) return offset; // the next attempt finds out
          throw thrown;
        });
        if (now > offset) failures = 0;
        offset = now;
      }
    }
  } finally {
    link.unlink();
  }
}

/** Whether the same upload can succeed from where it is. EEXIST: it is elsewhere than we thought; EBUSY: an older connection still holds it. */
function mayGoOn(error: unknown): boolean {
  if (!(error instanceof ClientError)) return true; // The body of an answer broke off.
  return error.retryable || (error.status === 409 && ['EEXIST', 'EBUSY'].includes(error.code));
}
