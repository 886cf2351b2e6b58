import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { appendFile, chmod, mkdir, mkdtemp, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join, posix } from 'node:path';
import { Refusal, send } from './fake-answers.ts';

/** Files of the fake server's sprites: a directory of this machine, and tar. */
export class FakeFiles {
  /** Breaks a transfer off after so many bytes, as often as there are entries. */
  readonly breaks: number[] = [];
  #root: string | undefined;

  /** Where a path of a sprite is on this machine. */
  async at(path: string): Promise<string> {
    this.#root ??= await mkdtemp(join(tmpdir(), 'sylph-fake-files-'));
    await mkdir(join(this.#root, 'home/sprite'), { recursive: true });
    return join(this.#root, path);
  }

  async dispose(): Promise<void> {
    if (this.#root !== undefined) await rm(this.#root, { recursive: true, force: true });
  }

  async answer(request: IncomingMessage, response: ServerResponse, url: URL, verb: string): Promise<void> {
    const query = url.searchParams;
    const path = posix.resolve(query.get('workingDir') ?? '/', query.get('path') ?? '');
    const at = await this.at(path);
    switch (`${request.method} ${verb}`) {
      case 'GET list':
        return this.#list(response, path, at, query);
      case 'GET read':
        return this.#read(request, response, path, at);
      case 'PUT write':
        return this.#write(request, response, path, at, query);
      case 'GET upload':
        return send(response, 200, { path, size_bytes: await sizeOf(`${at}.${query.get('upload')}`) });
      case 'GET archive': {
        const tar = spawn('tar', ['-C', at, '-cf', '-', '.']);
        response.writeHead(200, { 'x-archive-entries': '1', 'x-archive-bytes': '1' });
        tar.stdout.pipe(response);
        return undefined;
      }
      case 'PUT archive': {
        await mkdir(at, { recursive: true });
        const tar = spawn('tar', ['-C', at, '-xf', '-']);
        request.pipe(tar.stdin);
        await new Promise((resolve) => tar.once('close', resolve));
        return send(response, 200, { path, count: 1, totalBytes: 1 });
      }
      default:
        throw new Refusal(404, 'not_found', 'no such path');
    }
  }

  async #list(response: ServerResponse, path: string, at: string, query: URLSearchParams): Promise<void> {
    const info = await found(path, at);
    const names = !info.isDirectory() ? [''] : query.get('pattern') === '/' ? [] : (await readdir(at)).toSorted();
    const entries = await Promise.all(
      names.map(async (name) => {
        const { size, mode, mtime, ...rest } = await stat(join(at, name));
        const full = posix.join(path, name);
        const isDir = (mode & 0o170000) === 0o040000;
        void rest;
        return {
          name: basename(full),
          path: full,
          type: isDir ? 'directory' : 'file',
          size,
          mode: (mode & 0o7777).toString(8).padStart(4, '0'),
          modTime: mtime.toISOString(),
          isDir,
        };
      }),
    );
    send(response, 200, { path, entries, count: entries.length });
  }

  async #read(request: IncomingMessage, response: ServerResponse, path: string, at: string): Promise<void> {
    const info = await found(path, at);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(start === 0 ? 200 : 206, {
      'content-length': info.size - start,
      'x-file-mode': (info.mode & 0o7777).toString(8),
      'x-file-mtime': Math.floor(info.mtimeMs),
    });
    const end = this.breaks.shift();
    for await (const piece of createReadStream(at, { start, ...(end === undefined ? {} : { end: start + end }) }))
      response.write(piece);
    if (end === undefined) response.end();
    else setTimeout(() => response.destroy(), 20);
  }

  async #write(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    at: string,
    query: URLSearchParams,
  ): Promise<void> {
    if (query.get('mkdirParents') === 'true') await mkdir(dirname(at), { recursive: true });
    const upload = query.get('upload');
    const part = `${at}.${upload ?? 'new'}`;
    const present = await sizeOf(part);
    if (upload === null) await writeFile(part, '');
    else if (present !== Number(query.get('offset'))) throw new Refusal(409, 'EEXIST', 'the upload goes on elsewhere');
    const end = this.breaks.shift();
    let received = 0;
    for await (const piece of request) {
      await appendFile(part, piece as Buffer);
      received += (piece as Buffer).length;
      if (end !== undefined && received > end) {
        await truncate(part, present + end);
        request.socket.resetAndDestroy();
        return;
      }
    }
    await appendFile(part, '');
    const mode = query.get('mode');
    if (mode !== null) await chmod(part, parseInt(mode, 8));
    await rename(part, at);
    const { size } = await stat(at);
    send(response, 200, { path, size, mode: mode ?? '0644' });
  }
}

async function found(path: string, at: string) {
  return stat(at).catch(() => {
    throw new Refusal(404, 'ENOENT', `open ${path}: no such file or directory`);
  });
}

async function sizeOf(at: string): Promise<number> {
  return stat(at).then(
    ({ size }) => size,
    () => 0,
  );
}
