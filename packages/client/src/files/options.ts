import type { FileWatchMessage } from '@sylph/model';
import type { CallOptions } from '../sprites.ts';

/** Options of everything about a path. */
export interface FileOptions extends CallOptions {
  /** Where relative paths begin; default `/`. */
  workingDir?: string | undefined;
  /** With the permissions of root instead of the user `sprite`. */
  asRoot?: boolean | undefined;
}

/** Told while bytes move. `totalBytes` undefined: nobody knows. */
export type Progress = (doneBytes: number, totalBytes: number | undefined) => void;

/** Options of what writes a file. */
export interface WriteFileOptions extends FileOptions {
  /** Default: that of the file that is replaced, or 0644. */
  mode?: number | undefined;
  /** Makes missing directories above, also with servers that do not in any case. */
  mkdirs?: boolean | undefined;
  onProgress?: Progress | undefined;
}

/** Something of known size that can be read again from any offset. */
export interface UploadSource {
  sizeBytes: number;
  /** From `offset` to the end. */
  from(offset: number): AsyncIterable<Uint8Array>;
}

/** What a watch tells. */
export type FileChange = Extract<FileWatchMessage, { type: 'event' | 'overflow' }>;

/** The fields of {@link FileOptions} as a query has them. */
export function queryOf(path: string, options: FileOptions): Record<string, string | undefined> {
  return {
    path,
    workingDir: options.workingDir ?? '/',
    asRoot: options.asRoot === true ? 'true' : undefined,
  };
}

/** A mode as the API writes it. */
export function modeText(mode: number | undefined): string | undefined {
  return mode?.toString(8).padStart(4, '0');
}
