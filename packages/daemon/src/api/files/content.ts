import type { FileContent, FileTarget, GuestFiles } from '@sylph/engine';
import {
  readArchiveQuery,
  readFileQuery,
  SylphError,
  uploadQuery,
  uploadResponse,
  writeArchiveQuery,
  writeArchiveResponse,
  writeFileQuery,
  writeFileResponse,
} from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { FlowingAnswer } from '../flowing-answer.ts';
import type { Place } from '../live.ts';
import type { ApiParts } from '../parts.ts';
import { passBodies } from '../pass-bodies.ts';
import { nameInPath } from '../sprite-answer.ts';
import { vanished } from '../vanished.ts';
import { answerFileErrors, fileErrorResponses } from './failures.ts';
import { rangeOf } from './range.ts';
import { bodyOf, dropBody, lengthOf, writeTo } from './streams.ts';
import { targetOf } from './target.ts';

const tags = ['files'];
const params = z.object({ name: z.string() });
const raw = (description: string, type = 'application/octet-stream') => ({
  description,
  content: { [type]: { schema: z.string() } },
});

/** Files as streams: read, write, archives. Bodies of any size, in constant memory. */
export const fileContentRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, limits } = deps;
    passBodies(app);
    answerFileErrors(app);

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/fs/read',
      schema: {
        operationId: 'readFile',
        summary: 'Read a file',
        description:
          'Raw bytes, of any size. With `Range` (one range of bytes) 206 and `Content-Range`; 416 outside of the file. `X-File-Mode` (octal) and `X-File-Mtime` (ms since 1970) tell whether a file is still the same when a download is resumed. HEAD answers with the headers. Only regular files; links are followed. A file that becomes shorter while it is read ends the connection early.',
        tags,
        params,
        querystring: readFileQuery,
        response: { 200: raw('The file'), 206: raw('A part of it'), ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        using place = live.reserve(request, reply);
        const name = nameInPath(request.params.name);
        const target = targetOf(request.query.path, request.query);
        const gone = vanished(reply);
        using lease = await service.use(request.caller.org, name, { signal: gone });
        const range = rangeOf(request.headers.range);
        const content = await lease.channel.files.read(target, range, { signal: gone });
        const headers = headersOf(content, range !== undefined);
        const status = range === undefined ? 200 : 206;
        if (request.method === 'HEAD') {
          await content.bytes[Symbol.asyncIterator]().return?.();
          reply.hijack();
          reply.raw.writeHead(status, { ...(reply.getHeaders() as Record<string, string>), ...headers }).end();
          return;
        }
        await flow(request, reply, place, { bytes: content.bytes, headers, status, gone });
      },
    });

    app.route({
      method: 'PUT',
      url: '/v1/sprites/:name/fs/write',
      schema: {
        operationId: 'writeFile',
        summary: 'Write a file',
        description:
          'The body is the content, raw, of any size. The file appears whole or not at all, and is on the disk of the sprite when this answers. Owner and mode of a file that is replaced are kept; a symbolic link is written through. A part of an upload (`upload`, `offset`, `total`) answers with the bytes there are so far.',
        tags,
        consumes: ['application/octet-stream'],
        params,
        querystring: writeFileQuery,
        response: { 200: writeFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { query } = request;
        return receiving(request, reply, query, async ({ files, target, body, signal }) => {
          const { upload, offset = 0, total } = query;
          if (upload !== undefined && total === undefined)
            throw new SylphError('invalid_request', 'query parameter total: is needed with upload');
          const written = await files.write(target, body, {
            signal,
            mode: query.mode,
            parents: true,
            lengthBytes: lengthOf(request),
            ...(upload === undefined ? {} : { upload: { id: upload, offset, totalBytes: total ?? 0 } }),
          });
          return { path: written.path, size: written.sizeBytes, mode: written.mode };
        });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/fs/upload',
      schema: {
        operationId: 'getUpload',
        summary: 'Tell how far an upload is',
        tags,
        params,
        querystring: uploadQuery,
        response: { 200: uploadResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const target = targetOf(request.query.path, request.query);
        const signal = vanished(reply);
        using lease = await service.use(request.caller.org, nameInPath(request.params.name), { signal });
        const size = await lease.channel.files.uploadSize(target, request.query.upload, { signal });
        return { path: target.path, size_bytes: size };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/fs/archive',
      schema: {
        operationId: 'readArchive',
        summary: 'Read a tree as tar',
        description:
          'Names are relative to `path`; symbolic links stay links. `X-Archive-Entries` and `X-Archive-Bytes` tell how much there is. Everything has to be readable (403 otherwise). A file that changes while it is read has the size it began with.',
        tags,
        params,
        querystring: readArchiveQuery,
        response: { 200: raw('The tree', 'application/x-tar'), ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        using place = live.reserve(request, reply);
        const target = targetOf(request.query.path, request.query);
        const gone = vanished(reply);
        using lease = await service.use(request.caller.org, nameInPath(request.params.name), { signal: gone });
        const { bytes, entries, contentBytes } = await lease.channel.files.archive(target, { signal: gone });
        const headers = {
          'content-type': 'application/x-tar',
          'x-archive-entries': String(entries),
          'x-archive-bytes': String(contentBytes),
        };
        await flow(request, reply, place, { bytes, headers, status: 200, gone });
      },
    });

    app.route({
      method: 'PUT',
      url: '/v1/sprites/:name/fs/archive',
      schema: {
        operationId: 'writeArchive',
        summary: 'Unpack a tar below a directory',
        description:
          'The body is a tar, uncompressed. No name and no link leads out of `path`. Each file appears whole; what came before a failure stays. Devices are refused.',
        tags,
        consumes: ['application/x-tar'],
        params,
        querystring: writeArchiveQuery,
        response: { 200: writeArchiveResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { query } = request;
        return receiving(request, reply, query, ({ files, target, body, signal }) =>
          files.unpack(target, body, {
            signal,
            parents: query.mkdirParents === true || query.mkdir === true,
            owners: query.owners === true,
          }),
        );
      },
    });

    /** Takes the body of a request in with an awake sprite; a body that is refused is dropped. */
    async function receiving<T>(
      request: FastifyRequest,
      reply: FastifyReply,
      query: { path: string; workingDir?: string | undefined; asRoot?: boolean | undefined },
      work: (parts: {
        files: GuestFiles;
        target: FileTarget;
        body: AsyncIterable<Uint8Array>;
        signal: AbortSignal;
      }) => Promise<T>,
    ): Promise<T> {
      try {
        using place = live.reserve(request, reply);
        const target = targetOf(query.path, query);
        const signal = vanished(reply);
        using lease = await service.use(request.caller.org, nameInPath((request.params as { name: string }).name), {
          signal,
        });
        place.use({ close: async () => void reply.raw.destroy() });
        const body = bodyOf(request.raw, target.path, limits.fileStallMs);
        return await work({ files: lease.channel.files, target, body, signal });
      } catch (error) {
        dropBody(request, reply);
        throw error;
      }
    }

    async function flow(
      request: FastifyRequest,
      reply: FastifyReply,
      place: Place,
      sent: { bytes: AsyncIterable<Uint8Array>; headers: Record<string, string>; status: number; gone: AbortSignal },
    ): Promise<void> {
      const answer = new FlowingAnswer(reply, place, sent.headers, sent.status);
      try {
        for await (const piece of sent.bytes) await writeTo(answer, piece, sent.gone, limits.fileStallMs);
        answer.end();
      } catch (error) {
        if (!sent.gone.aborted) request.log.warn({ err: error }, 'a file could not be sent to its end');
        answer.cut();
      }
    }
  };

function headersOf(content: FileContent, partial: boolean): Record<string, string> {
  const { sizeBytes, mode, mtimeMs, offset, lengthBytes } = content;
  return {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'x-file-mode': mode,
    'x-file-mtime': String(mtimeMs),
    ...(lengthBytes === undefined ? {} : { 'content-length': String(lengthBytes) }),
    ...(partial && lengthBytes !== undefined
      ? { 'content-range': `bytes ${offset}-${offset + lengthBytes - 1}/${sizeBytes}` }
      : {}),
  };
}
