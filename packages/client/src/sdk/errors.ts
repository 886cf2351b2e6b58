import type { ClientError } from '../errors.ts';
import type { ExecResult } from './types.ts';

/** A command ended with another code than 0. */
export class ExecError<Bytes extends Uint8Array = Uint8Array> extends Error {
  readonly result: ExecResult<Bytes>;

  constructor(message: string, result: ExecResult<Bytes>) {
    super(message);
    this.name = 'ExecError';
    this.result = result;
  }

  get exitCode(): number {
    return this.result.exitCode;
  }

  get stdout(): string | Bytes {
    return this.result.stdout;
  }

  get stderr(): string | Bytes {
    return this.result.stderr;
  }
}

const filesystemCodes = [
  'ENOENT',
  'EEXIST',
  'ENOTDIR',
  'EISDIR',
  'EACCES',
  'EPERM',
  'ENOTEMPTY',
  'EINVAL',
  'EIO',
] as const;

/** Why a file operation was refused. Rarer reasons are `UNKNOWN`; `cause` has the server's own. */
export type FilesystemErrorCode = (typeof filesystemCodes)[number] | 'UNKNOWN';

/** A file operation was refused. */
export class FilesystemError extends Error {
  readonly code: FilesystemErrorCode;
  readonly path: string;
  readonly syscall: string | undefined;

  constructor(message: string, code: FilesystemErrorCode, path: string, syscall?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FilesystemError';
    this.code = code;
    this.path = path;
    this.syscall = syscall;
  }

  static of(refusal: ClientError, path: string, syscall: string): FilesystemError {
    const code = filesystemCodes.find((each) => each === (refusal.code as string)) ?? 'UNKNOWN';
    return new FilesystemError(refusal.message, code, path, syscall, { cause: refusal });
  }
}
