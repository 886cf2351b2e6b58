import type { GuestFiles } from '@sylph/engine';
import {
  chmodFileRequest,
  chmodFileResponse,
  chownFileRequest,
  chownFileResponse,
  copyFileRequest,
  copyFileResponse,
  deleteFileQuery,
  deleteFileResponse,
  listFilesQuery,
  listFilesResponse,
  renameFileRequest,
  renameFileResponse,
  SylphError,
  type GuestFileEntry,
} from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { FlowingAnswer } from '../flowing-answer.ts';
import type { ApiParts } from '../parts.ts';
import { nameInPath } from '../sprite-answer.ts';
import { vanished } from '../vanished.ts';
import { answerFileErrors, fileErrorResponses } from './failures.ts';
import { writeTo } from './streams.ts';
import { targetOf } from './target.ts';

const tags = ['files'];
const params = z.object({ name: z.string() });

/** Directories and what is done to files without their content. */
export const fileTreeRoutes =
  ({ deps, live }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { service, limits } = deps;
    answerFileErrors(app);

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/fs/list',
      schema: {
        operationId: 'listFiles',
        summary: 'List a directory',
        description:
          'A path that is no directory gives one entry that describes it; links are followed at `path`, not below it. Up to 10,000 entries of a directory are sorted. With `recursive` each directory is followed by what is in it. A list that breaks off ends the connection early.',
        tags,
        params,
        querystring: listFilesQuery,
        response: { 200: listFilesResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        using place = live.reserve(request, reply);
        const { path, recursive = false, pattern } = request.query;
        const target = targetOf(path, request.query);
        const gone = vanished(reply);
        using lease = await service.use(request.caller.org, nameInPath(request.params.name), { signal: gone });
        const entries = await lease.channel.files.list(target, { recursive, pattern, signal: gone });
        const answer = new FlowingAnswer(reply, place, { 'content-type': 'application/json; charset=utf-8' });
        try {
          for await (const text of listText(target.path, entries))
            await writeTo(answer, text, gone, limits.fileStallMs);
          answer.end();
        } catch (error) {
          if (!gone.aborted) request.log.warn({ err: error }, 'a list broke off');
          answer.cut();
        }
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/fs/delete',
      schema: {
        operationId: 'deleteFile',
        summary: 'Remove a file or a directory',
        description: 'A directory that is not empty only with `recursive`. Links are removed, not followed.',
        tags,
        params,
        querystring: deleteFileQuery,
        response: { 200: deleteFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { path, recursive = false } = request.query;
        const target = targetOf(path, request.query);
        return awake(request, reply, ({ files, signal }) => files.remove(target, { recursive, signal }));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/fs/rename',
      schema: {
        operationId: 'renameFile',
        summary: 'Rename a file or a directory',
        description: 'As rename(2): a file in the place of `dest` is replaced, a directory only an empty one.',
        tags,
        params,
        body: renameFileRequest,
        response: { 200: renameFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const source = targetOf(request.body.source, request.body);
        const dest = targetOf(request.body.dest, request.body);
        return awake(request, reply, ({ files, signal }) => files.rename(source, dest.path, { signal }));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/fs/copy',
      schema: {
        operationId: 'copyFile',
        summary: 'Copy a file or a directory',
        description:
          'To exactly `dest`. A directory only with `recursive`; it is merged with one that is there. Each file appears whole; holes stay holes; links below `source` stay links.',
        tags,
        params,
        body: copyFileRequest,
        response: { 200: copyFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { body } = request;
        const source = targetOf(body.source, body);
        const dest = targetOf(body.dest, body);
        const options = { recursive: body.recursive === true, preserveAttrs: body.preserveAttrs === true };
        return awake(request, reply, ({ files, signal }) => files.copy(source, dest.path, { ...options, signal }));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/fs/chmod',
      schema: {
        operationId: 'chmodFile',
        summary: 'Change the mode of a file',
        description: 'With `recursive` also of everything below; links are left alone there.',
        tags,
        params,
        body: chmodFileRequest,
        response: { 200: chmodFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { body } = request;
        const target = targetOf(body.path, body);
        return awake(request, reply, ({ files, signal }) =>
          files.chmod(target, body.mode, { recursive: body.recursive === true, signal }),
        );
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/fs/chown',
      schema: {
        operationId: 'chownFile',
        summary: 'Change the owner of a file',
        description: 'Needs `asRoot`, as in any Linux. At least one of `uid` and `gid`.',
        tags,
        params,
        body: chownFileRequest,
        response: { 200: chownFileResponse, ...fileErrorResponses },
      },
      handler: async (request, reply) => {
        const { body } = request;
        const target = targetOf(body.path, body);
        const owner = { uid: body.uid ?? undefined, gid: body.gid ?? undefined };
        if (owner.uid === undefined && owner.gid === undefined)
          throw new SylphError('invalid_request', 'body: uid or gid is needed');
        return awake(request, reply, ({ files, signal }) =>
          files.chown(target, owner, { recursive: body.recursive === true, signal }),
        );
      },
    });

    /** Does something with the files of an awake sprite. A client that leaves ends it in the guest too. */
    async function awake<T>(
      request: FastifyRequest,
      reply: FastifyReply,
      work: (parts: { files: GuestFiles; signal: AbortSignal }) => Promise<T>,
    ): Promise<T> {
      using _place = live.reserve(request, reply);
      const signal = vanished(reply);
      const name = nameInPath((request.params as { name: string }).name);
      using lease = await service.use(request.caller.org, name, { signal });
      return await work({ files: lease.channel.files, signal });
    }
  };

/** The answer as text, entry by entry. */
async function* listText(
  path: string,
  entries: AsyncIterable<GuestFileEntry>,
): AsyncGenerator<string, void, undefined> {
  let count = 0;
  let text = `{"path":${JSON.stringify(path)},"entries":[`;
  for await (const entry of entries) {
    text += `${count++ === 0 ? '' : ','}${JSON.stringify(entry)}`;
    if (text.length < 32_768) continue;
    yield text;
    text = '';
  }
  yield `${text}],"count":${count}}`;
}
