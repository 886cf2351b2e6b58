import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FilesystemError, SpritesClient } from '@fly/sprites';
import { useAgentApi } from '../testing/agent-api.ts';
import type { AgentService } from '../testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from '../testing/fixture.ts';
import { heldDuring } from '../testing/memory.ts';

describe('files', () => {
  let api: ApiFixture<AgentService>;
  let dir: string;
  useAgentApi(
    async (opened) => {
      api = opened;
      await api.sprite();
    },
    { limits: { fileStallMs: 300 } },
  );
  beforeEach(async () => {
    dir = await mkdtemp(join(api.service.home, 'files-'));
  });

  const fs = (verb: string, query: Record<string, string> = {}): string =>
    `/v1/sprites/one/fs/${verb}?${new URLSearchParams(query).toString()}`;
  const put = (query: Record<string, string>, body: Uint8Array | string, verb = 'write') =>
    fetch(`${api.url}${fs(verb, query)}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${api.token}` },
      body: body as never,
    });
  const idle = () => eventually(() => api.service.leases === 0);

  it('writes and reads, whole and in parts', async () => {
    const bytes = randomBytes(3_000_000);
    const written = await put(
      { path: 'a\nb %#ü', workingDir: `${dir}/new`, mkdirParents: 'false', mode: '0640' },
      bytes,
    );
    const path = join(dir, 'new/a\nb %#ü');
    assert.deepEqual([written.status, await written.json()], [200, { path, size: bytes.length, mode: '0640' }]);
    assert.ok((await readFile(path)).equals(bytes));

    const whole = await api.request('GET', fs('read', { path }));
    assert.deepEqual(
      [
        whole.status,
        whole.headers.get('content-length'),
        whole.headers.get('accept-ranges'),
        whole.headers.get('x-file-mode'),
      ],
      [200, String(bytes.length), 'bytes', '0640'],
    );
    assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
    const part = await api.request('GET', fs('read', { path }), { headers: { range: 'bytes=-1000' } });
    assert.deepEqual(
      [part.status, part.headers.get('content-range')],
      [206, `bytes ${bytes.length - 1000}-${bytes.length - 1}/${bytes.length}`],
    );
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(-1000)));
    const outside = await api.request('GET', fs('read', { path }), { headers: { range: 'bytes=3000000-' } });
    assert.deepEqual([outside.status, outside.headers.get('content-range')], [416, `bytes */${bytes.length}`]);
    await outside.arrayBuffer();
    const head = await api.request('HEAD', fs('read', { path }));
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(bytes.length)]);
    const empty = await put({ path: join(dir, 'empty') }, '');
    assert.equal(((await empty.json()) as Json).size, 0);
    assert.equal(await (await api.request('GET', fs('read', { path: join(dir, 'empty') }))).text(), '');
    await idle();
  });

  it('says what is wrong with status, text, path and errno', async () => {
    await writeFile(join(dir, 'f'), 'x');
    await mkdir(join(dir, 'd/e'), { recursive: true });
    const cases: [string, string, Record<string, string>, number, string][] = [
      ['GET', 'read', { path: join(dir, 'none') }, 404, 'ENOENT'],
      ['GET', 'read', { path: dir }, 400, 'EISDIR'],
      ['GET', 'read', { path: join(dir, 'f/x') }, 400, 'ENOTDIR'],
      ['GET', 'list', { path: join(dir, 'none') }, 404, 'ENOENT'],
      ['DELETE', 'delete', { path: join(dir, 'd') }, 409, 'ENOTEMPTY'],
      ['GET', 'archive', { path: join(dir, 'none') }, 404, 'ENOENT'],
    ];
    for (const [method, verb, query, status, code] of cases) {
      const answer = await api.json(method, fs(verb, query));
      assert.deepEqual(
        [answer.status, answer.body.code, answer.body.path],
        [status, code, query['path']],
        `${method} ${verb}`,
      );
      assert.equal(answer.body.error, answer.body.message);
    }
    assert.equal(
      (await api.json('GET', fs('read', { path: join(dir, 'none') }))).body.error,
      `open ${join(dir, 'none')}: no such file or directory`,
    );
    assert.equal((await put({ path: join(dir, 'f/x') }, randomBytes(2_000_000))).status, 400);
    api.service.calls.length = 0;
    for (const query of [
      { path: 'relative' },
      { path: 'x', workingDir: 'also' },
      { path: '' },
      { path: '/a\0b' },
      { path: `/${'x'.repeat(4095)}` },
    ] as Record<string, string>[]) {
      const { status, body } = await api.json('GET', fs('list', query));
      assert.equal(status, 400);
      assert.match(body.code, /EINVAL|ENAMETOOLONG/);
    }
    assert.equal((await put({ path: '/x', mode: '999' }, 'x')).status, 400);
    assert.deepEqual(api.service.calls, []);
  });

  it('lists, also what is unreadable to JSON, in one object', async () => {
    await mkdir(join(dir, 'b'));
    await writeFile(join(dir, 'b/in"ner\n'), 'text');
    await symlink('b', join(dir, 'c'));
    await writeFile(Buffer.concat([Buffer.from(`${dir}/a`), Buffer.from([0xff])]), '');
    const { body } = await api.json('GET', fs('list', { path: dir, recursive: 'true' }));
    assert.deepEqual(
      [body.path, body.count, body.entries.map((entry: Json) => `${entry.name} ${entry.type} ${entry.isDir}`)],
      [dir, 4, ['a\ufffd file false', 'b directory true', 'in"ner\n file false', 'c symlink false']],
    );
    const one = await api.json('GET', fs('list', { path: 'b/in"ner\n', workingDir: dir }));
    assert.deepEqual([one.body.count, one.body.entries[0].size], [1, 4]);
    assert.deepEqual((await api.json('GET', fs('list', { path: dir, pattern: 'zz*' }))).body.entries, []);
  });

  it('renames, copies, changes modes, and removes', async () => {
    await mkdir(join(dir, 'a'));
    await writeFile(join(dir, 'a/f'), 'text');
    const post = (verb: string, body: object) =>
      api.json('POST', `/v1/sprites/one/fs/${verb}`, { body: { workingDir: dir, ...body } });
    const copied = await post('copy', { source: 'a', dest: 'b', recursive: true });
    assert.deepEqual([copied.body.count, copied.body.totalBytes], [2, 4]);
    assert.deepEqual((await post('rename', { source: 'b', dest: 'c' })).body, {
      source: join(dir, 'b'),
      dest: join(dir, 'c'),
    });
    assert.deepEqual((await post('chmod', { path: 'c/f', mode: 0o600 })).body, {
      affected: [{ path: join(dir, 'c/f'), mode: '0600' }],
      count: 1,
    });
    const { uid } = await stat(dir);
    assert.equal((await post('chown', { path: 'c', uid, recursive: true, asRoot: true })).body.count, 2);
    assert.equal((await post('chown', { path: 'c' })).status, 400);
    assert.equal((await post('chmod', { path: 'c', mode: '0x' })).status, 400);
    const removed = await api.json('DELETE', fs('delete', { path: join(dir, 'c'), recursive: 'true' }));
    assert.deepEqual(removed.body, { deleted: [join(dir, 'c/f'), join(dir, 'c')], count: 2 });
    await idle();
  });

  it('goes on with an upload where it broke off', async () => {
    const bytes = randomBytes(500_000);
    const part = (offset: number, end: number) =>
      put(
        { path: join(dir, 'big'), upload: 'u', offset: String(offset), total: String(bytes.length) },
        bytes.subarray(offset, end),
      );
    assert.equal((await part(0, 200_000)).status, 200);
    const wrong = await part(1, 10);
    assert.deepEqual([wrong.status, ((await wrong.json()) as Json).size_bytes], [409, 200_000]);
    const told = await api.json('GET', fs('upload', { path: join(dir, 'big'), upload: 'u' }));
    assert.equal(told.body.size_bytes, 200_000);
    assert.equal((await part(200_000, bytes.length)).status, 200);
    assert.ok((await readFile(join(dir, 'big'))).equals(bytes));
    assert.equal((await put({ path: join(dir, 'x'), upload: 'u' }, 'x')).status, 400);
  });

  it('carries trees as tar both ways', async () => {
    await mkdir(join(dir, 'a/b'), { recursive: true });
    await writeFile(join(dir, 'a/b/f'), randomBytes(100_000));
    await chmod(join(dir, 'a/b/f'), 0o750);
    const sent = await api.request('GET', fs('archive', { path: join(dir, 'a') }));
    assert.deepEqual(
      [sent.headers.get('content-type'), sent.headers.get('x-archive-entries')],
      ['application/x-tar', '3'],
    );
    const tar = new Uint8Array(await sent.arrayBuffer());
    const unpacked = await put({ path: join(dir, 'c'), mkdirParents: 'true' }, tar, 'archive');
    assert.deepEqual(await unpacked.json(), { path: join(dir, 'c'), count: 3, totalBytes: 100_000 });
    assert.ok((await readFile(join(dir, 'c/b/f'))).equals(await readFile(join(dir, 'a/b/f'))));
    assert.equal((await stat(join(dir, 'c/b/f'))).mode & 0o777, 0o750);
    assert.equal((await put({ path: join(dir, 'c') }, randomBytes(5000), 'archive')).status, 400);
  });

  it('leaves nothing of a body that breaks off or stops, and answers 408 where it can', async () => {
    await writeFile(join(dir, 'f'), 'old');
    const begin = (length: string): { socket: ReturnType<typeof connect>; text: () => string } => {
      const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
      let text = '';
      socket.on('data', (data: Buffer) => (text += data.toString()));
      socket.on('error', () => {});
      socket.write(
        `PUT ${fs('write', { path: join(dir, 'f') })} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\n${length}\r\n\r\n`,
      );
      return { socket, text: () => text };
    };
    for (const length of ['Content-Length: 1000000', 'Transfer-Encoding: chunked']) {
      const piece = length.startsWith('C') ? 'x'.repeat(5000) : `1388\r\n${'x'.repeat(5000)}\r\n`;
      const left = begin(length);
      left.socket.write(piece);
      await sleep(50);
      left.socket.destroy();
      await idle();
      const stopped = begin(length);
      stopped.socket.write(piece);
      await eventually(() => stopped.text().includes('"code":"ETIMEDOUT"'));
      assert.match(stopped.text(), /^HTTP\/1\.1 408 /);
      stopped.socket.destroy();
      await idle();
      await sleep(20);
      assert.deepEqual(await readdir(dir), ['f']);
      assert.equal(await readFile(join(dir, 'f'), 'utf8'), 'old');
    }
  });

  it('lets go of a client that reads nothing, and of one that leaves', async () => {
    await writeFile(join(dir, 'large'), Buffer.alloc(60_000_000, 'x'));
    const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(
      `GET ${fs('read', { path: join(dir, 'large') })} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\n\r\n`,
    );
    await eventually(() => api.service.leases === 1);
    await idle();
    socket.destroy();
    const abort = new AbortController();
    const response = await fetch(`${api.url}${fs('read', { path: join(dir, 'large') })}`, {
      headers: { authorization: `Bearer ${api.token}` },
      signal: abort.signal,
    });
    assert.equal(response.status, 200);
    abort.abort();
    await idle();
  });

  it('watches over a WebSocket', async () => {
    const socket = api.socket('/v1/sprites/one/fs/watch');
    assert.equal((await socket.opened).status, 101);
    socket.send({ type: 'subscribe', paths: ['.'], recursive: true, workingDir: dir });
    await socket.until((messages) => messages.length > 0);
    assert.deepEqual(socket.messages[0], { type: 'subscribed', paths: [dir] });
    await mkdir(join(dir, 'sub'));
    await writeFile(join(dir, 'sub/f\n'), 'x');
    await socket.until((messages) => messages.some((message) => (message as Json).path === join(dir, 'sub/f\n')));
    socket.send({ type: 'subscribe', paths: [join(dir, 'none')] });
    await socket.until((messages) => (messages.at(-1) as Json).code === 'ENOENT');
    socket.send('nonsense');
    await socket.until((messages) => (messages.at(-1) as Json).code === 'invalid_request');
    assert.equal(api.service.leases, 1);
    socket.raw.close();
    await idle();
  });

  it('takes as many paths to watch as the agent does, and says when there are more', async () => {
    const long = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(250)).join('/');
    await mkdir(join(dir, long), { recursive: true });
    const socket = api.socket('/v1/sprites/one/fs/watch');
    assert.equal((await socket.opened).status, 101);
    const paths = Array.from({ length: 256 }, () => long);
    socket.send({ type: 'subscribe', paths, workingDir: dir });
    await socket.until((messages) => messages.length === 1);
    assert.equal((socket.messages[0] as Json).code, 'invalid_request');
    assert.match((socket.messages[0] as Json).message, /more than 262144/);
    socket.send({ type: 'subscribe', paths: paths.slice(0, 200), workingDir: dir });
    await socket.until((messages) => messages.length === 2);
    assert.deepEqual(socket.messages[1], {
      type: 'subscribed',
      paths: paths.slice(0, 200).map((path) => join(dir, path)),
    });
    socket.raw.close();
    await idle();
  });

  it('serves every file method of the official client', async () => {
    const remote = new SpritesClient(api.token, { baseURL: api.url }).sprite('one').filesystem(dir);
    const bytes = randomBytes(200_000);
    await remote.writeFile('d/f.bin', bytes, { mode: 0o600 });
    assert.ok((await remote.readFile('d/f.bin', null)).equals(bytes));
    await remote.writeFile('t', 'text');
    await remote.appendFile('t', ' more');
    assert.equal(await remote.readFile('t', 'utf8'), 'text more');
    await remote.writeJSON('j', { a: 1 });
    assert.deepEqual(await remote.readJSON('j'), { a: 1 });
    await remote.mkdir('deep/er', { recursive: true });
    assert.deepEqual(await remote.readdir('deep/er'), []);
    assert.deepEqual(await remote.readdir('.'), ['d', 'deep', 'j', 't']);
    const listed = (await remote.readdir('.', { withFileTypes: true })) as unknown as {
      name: string;
      isDirectory(): boolean;
    }[];
    assert.equal(listed[0]?.isDirectory(), true);
    const info = await remote.stat('d/f.bin');
    assert.deepEqual([info.size, info.mode, info.isFile()], [bytes.length, 0o600, true]);
    assert.deepEqual([await remote.exists('d/f.bin'), await remote.exists('none')], [true, false]);
    await remote.copyFile('d', 'e', { recursive: true });
    await remote.rename('e/f.bin', 'e/g');
    await remote.chmod('e/g', 0o755);
    await remote.chown('e/g', { uid: (await stat(dir)).uid, asRoot: true });
    await remote.rm('e', { recursive: true });
    await remote.rm('none', { force: true });
    await assert.rejects(
      remote.readFile('none'),
      (error) => error instanceof FilesystemError && error.code === 'ENOENT',
    );
    await assert.rejects(remote.rm('d'), (error) => error instanceof FilesystemError && error.code === 'ENOTEMPTY');
    const watcher = await remote.watch('.', { recursive: true });
    const { value: first } = await watcher[Symbol.asyncIterator]().next();
    assert.equal(first.type, 'subscribed');
    await writeFile(join(dir, 'new'), '');
    assert.equal(((await watcher.next()) as Json).event, 'create');
    watcher.close();
    await idle();
  });

  it('carries 100 MB in constant memory', async () => {
    const hash = createHash('sha256');
    const piece = randomBytes(1_000_000);
    const body = new ReadableStream({
      pull(controller) {
        if (count++ === 100) return controller.close();
        hash.update(piece);
        controller.enqueue(piece);
      },
    });
    let count = 0;
    const held = await heldDuring(async () => {
      const written = await fetch(`${api.url}${fs('write', { path: join(dir, 'big') })}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${api.token}` },
        body,
        duplex: 'half',
      });
      assert.equal(((await written.json()) as Json).size, 100_000_000);
      const read = await api.request('GET', fs('read', { path: join(dir, 'big') }));
      const got = createHash('sha256');
      for await (const bytes of read.body ?? []) got.update(bytes);
      assert.equal(got.digest('hex'), hash.digest('hex'));
    });
    assert.ok(held < 24_000_000, `${held} bytes were held`);
  });
});
