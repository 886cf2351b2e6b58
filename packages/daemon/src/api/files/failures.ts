import { GuestFileError } from '@sylph/engine';
import { errorBody, fileErrorBody, type FileErrorBody } from '@sylph/model';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';

/** What every route of files can answer besides success, for the OpenAPI document. */
export const fileErrorResponses = {
  '4xx': z
    .union([fileErrorBody, errorBody])
    .describe(
      'With the name of an errno as `code` what the sprite says of the file: 404 ENOENT; 403 EACCES, EPERM, EROFS; 409 EEXIST, ENOTEMPTY, EBUSY; 400 EISDIR, ENOTDIR, EINVAL, ELOOP, ENAMETOOLONG, EXDEV; 416 a range outside of the file; 408 ETIMEDOUT a body that stopped for 60 s',
    ),
  '5xx': z
    .union([fileErrorBody, errorBody])
    .describe('507 ENOSPC, EDQUOT: the disk of the sprite is full; 500 EIO; else the request could not be served'),
};

/** Answers what guests say of files in the shape existing clients know; other failures go to the handler above. */
export function answerFileErrors(app: FastifyInstance): void {
  app.setErrorHandler((thrown: unknown, _request, reply) => {
    if (!(thrown instanceof GuestFileError)) throw thrown;
    if (thrown.status === 416 && thrown.sizeBytes !== undefined)
      reply.header('content-range', `bytes */${thrown.sizeBytes}`);
    return reply
      .code(thrown.status)
      .header('content-type', 'application/json; charset=utf-8')
      .send(JSON.stringify(bodyOf(thrown)));
  });
}

function bodyOf({ message, path, errno, status, sizeBytes }: GuestFileError): FileErrorBody {
  return {
    error: message,
    message,
    path,
    code: errno,
    hint: hints[errno] ?? `errno(3) says what ${errno} means; it is the sprite's word on this path.`,
    retryable: errno === 'EBUSY' || errno === 'ETIMEDOUT',
    ...(status === 409 && sizeBytes !== undefined ? { size_bytes: sizeBytes } : {}),
  };
}

const asRoot = 'Files are touched as the user sprite; asRoot=true does it as root.';
const full = 'The disk of the sprite is full: delete something in it.';
const hints: Record<string, string> = {
  EACCES: asRoot,
  EPERM: asRoot,
  EROFS: 'This part of the file system cannot be written; choose another place.',
  ENOENT: 'GET …/fs/list shows what there is; mkdirParents=true makes directories that are missing.',
  EEXIST: 'Choose another name, or remove what is there.',
  ENOTEMPTY: 'recursive=true also removes what is in it.',
  EBUSY: 'Try again when nothing uses it.',
  EISDIR: 'Name a file in it; fs/archive reads and writes whole directories.',
  ENOTDIR: 'A part of the path is a file.',
  EINVAL: 'GET /openapi.json tells what the request takes; paths are absolute or begin at workingDir.',
  ELOOP: 'Links lead in a circle; name what they are to lead to.',
  ENAMETOOLONG: 'A name has at most 255 bytes, a path 4,095.',
  EXDEV: 'Copy it, then remove the original: it would change its file system.',
  ENOSPC: full,
  EDQUOT: full,
  ETIMEDOUT: 'Send the body without pauses; an upload in parts goes on where it broke off.',
  EIO: 'Try again; if that does not help, look at the console of the sprite.',
};
