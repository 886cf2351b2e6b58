import { posix } from 'node:path';
import { GuestFileError, type FileTarget } from '@sylph/engine';
import { maxPathBytes } from '@sylph/model';

/** What every request about a file says of it. */
export interface PathFields {
  workingDir?: string | null | undefined;
  asRoot?: boolean | null | undefined;
}

/** Users of the image whose permissions count. */
export const userOf = ({ asRoot }: PathFields): string => (asRoot === true ? 'root' : 'sprite');

/** A path of a request, made absolute. Throws {@link GuestFileError} for one that no guest could have. */
export function targetOf(path: string, fields: PathFields): FileTarget {
  const { workingDir } = fields;
  if (path === '') throw bad(path, 'EINVAL', 'the path is empty');
  if (`${path}${workingDir ?? ''}`.includes('\0')) throw bad(path, 'EINVAL', 'the path holds a NUL byte');
  const base = workingDir === null || workingDir === undefined || workingDir === '' ? undefined : workingDir;
  if (!posix.isAbsolute(path) && (base === undefined || !posix.isAbsolute(base)))
    throw bad(path, 'EINVAL', 'the path is relative, and there is no absolute workingDir to begin from');
  const absolute = posix.resolve('/', base ?? '/', path);
  if (Buffer.byteLength(absolute) > maxPathBytes)
    throw bad(path, 'ENAMETOOLONG', `the path is longer than ${maxPathBytes} bytes`);
  return { path: absolute, user: userOf(fields) };
}

function bad(path: string, errno: string, message: string): GuestFileError {
  return new GuestFileError({ status: 400, errno, path: path.slice(0, maxPathBytes), message });
}
