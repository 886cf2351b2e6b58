import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { ApiFixture, eventually } from './testing/fixture.ts';
import type { FakeSession } from './testing/fake-session.ts';

const exec = '/v1/sprites/one/exec';

interface Chunk {
  bytes: Buffer;
  atMs: number;
}

async function open(limits = {}): Promise<ApiFixture> {
  const api = await ApiFixture.open({ limits });
  await api.sprite();
  return api;
}

/** Chunks of the answer as they are on the wire, with the time each arrived; `whole`: the body had its end. */
function post(
  api: ApiFixture,
  query: string,
  body?: Buffer,
): Promise<{ head: string; chunks: Chunk[]; whole: boolean }> {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.write(
    `POST ${exec}?${query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${api.token}\r\n${body === undefined ? '' : `Content-Length: ${body.length}\r\n`}\r\n`,
  );
  if (body !== undefined) socket.write(body);
  return new Promise((resolve) => {
    let pending = Buffer.alloc(0);
    let head = '';
    let whole = false;
    const chunks: Chunk[] = [];
    socket.on('data', (data: Buffer) => {
      const atMs = performance.now();
      pending = Buffer.concat([pending, data]);
      if (head === '') {
        const end = pending.indexOf('\r\n\r\n');
        if (end < 0) return;
        head = pending.subarray(0, end).toString();
        pending = pending.subarray(end + 4);
      }
      for (;;) {
        const line = pending.indexOf('\r\n');
        if (line < 0) return;
        const size = parseInt(pending.subarray(0, line).toString(), 16);
        if (pending.length < line + 4 + size) return;
        if (size === 0) whole = true;
        else chunks.push({ bytes: pending.subarray(line + 2, line + 2 + size), atMs });
        pending = pending.subarray(line + 4 + size);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve({ head, chunks, whole }));
  });
}

const brief = (chunks: Chunk[]): string[] =>
  chunks.map(({ bytes }) => `${bytes[0]}:${bytes[0] === 3 ? bytes[1] : bytes.subarray(1).toString()}`);
const last = (api: ApiFixture): FakeSession => [...api.service.sessions.values()].at(-1) as FakeSession;

describe('http exec', () => {
  it('answers each frame as a chunk of its own and ends with the exit', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.print('out');
      session.print('err', 'stderr');
      session.print('more');
      session.exit(3);
    };
    const { head, chunks, whole } = await post(api, 'cmd=sh&cmd=x&path=/bin/sh&env=A=b&dir=/tmp');
    assert.match(head, /^HTTP\/1\.1 200 OK/);
    assert.match(head, /content-type: application\/octet-stream/i);
    assert.match(head, /sprite-version: v0\.1\.0/i);
    assert.match(head, /x-request-id: /i);
    assert.deepEqual(brief(chunks), ['1:out', '2:err', '1:more', '3:3']);
    assert.ok(whole);
    const { request } = last(api);
    assert.deepEqual(
      [
        request.argv,
        request.path,
        request.env['A'],
        request.dir,
        request.tty,
        request.stdin,
        request.maxRunAfterDisconnectMs,
      ],
      [['sh', 'x'], '/bin/sh', 'b', '/tmp', null, false, 10_000],
    );
    await eventually(() => last(api).clients === 0);
    assert.equal(api.service.leases, 0);
  });

  it('keeps chunks small and apart, joins what piles up, and loses no byte', async () => {
    await using api = await open();
    const bytes = randomBytes(200_000);
    api.service.onStart = (session) => {
      for (let at = 0; at < 100_000; at += 100) session.print(bytes.subarray(at, at + 100));
      session.print(bytes.subarray(100_000));
      session.print(bytes.subarray(0, 20_000), 'stderr');
      session.exit(0);
    };
    const { chunks, whole } = await post(api, 'cmd=x');
    assert.ok(whole);
    assert.ok(chunks.every((chunk) => chunk.bytes.length <= 16_384));
    assert.ok(chunks.length < 40, `${chunks.length} chunks`);
    const of = (stream: number): Buffer =>
      Buffer.concat(chunks.filter((chunk) => chunk.bytes[0] === stream).map((chunk) => chunk.bytes.subarray(1)));
    assert.ok(of(1).equals(bytes));
    assert.ok(of(2).equals(bytes.subarray(0, 20_000)));
    assert.deepEqual(brief(chunks).at(-1), '3:0');
    // No two chunks arrived in one read of this socket.
    assert.equal(new Set(chunks.map(({ atMs }) => atMs)).size, chunks.length);
  });

  it('passes a streamed body on as input and its end as the end', async () => {
    await using api = await open({ maxJsonBytes: 1_000 });
    const body = randomBytes(3_000_000);
    const parts: Buffer[] = [];
    api.service.onStart = (session) => {
      session.onWrite = (bytes) => void parts.push(bytes);
      void eventually(() => session.received.at(-1) === '<eof>').then(() => session.exit(0));
    };
    const { chunks } = await post(api, 'cmd=cat&stdin=true', body);
    assert.deepEqual(brief(chunks), ['3:0']);
    assert.ok(Buffer.concat(parts).equals(body));
  });

  it('answers before the body ends, and does not wait for it', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.print('early');
      setTimeout(() => session.exit(0), 50);
    };
    const request = httpRequest(`${api.url}${exec}?cmd=head&stdin=true`, {
      method: 'POST',
      agent: false,
      headers: { authorization: `Bearer ${api.token}`, 'transfer-encoding': 'chunked' },
    });
    request.on('error', () => {});
    request.write('some');
    const answer = await new Promise<string>((resolve) => {
      request.on('response', (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      });
    });
    assert.equal(answer, '\x01early\x03\x00');
    request.destroy();
  });

  it('does not read faster than the process takes its input', async () => {
    await using api = await open();
    const gate = Promise.withResolvers<void>();
    api.service.onStart = (session) => {
      session.onWrite = () => gate.promise;
    };
    const body = Buffer.alloc(20_000_000, 65);
    const answer = post(api, 'cmd=cat&stdin=true', body);
    await eventually(() => api.service.sessions.size === 1 && last(api).received.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(last(api).received.length, 1);
    last(api).exit(0);
    assert.deepEqual(brief((await answer).chunks), ['3:0']);
    gate.resolve();
  });

  it('tells a program that cannot start, and a lost session by an answer without an end', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.print('no such program\n', 'stderr');
      session.finish({ how: 'not-started', code: 127, reason: 'no such program', at: '' });
    };
    assert.deepEqual(brief((await post(api, 'cmd=x')).chunks), ['2:no such program\n', '3:127']);
    api.service.onStart = (session) => {
      session.print('half');
      session.finish({ how: 'lost', reason: 'the VM died', at: '' });
    };
    const { chunks, whole } = await post(api, 'cmd=x');
    assert.deepEqual(brief(chunks), ['1:half', '2:the session was lost: the VM died\n']);
    assert.equal(whole, false);
  });

  it('leaves the process running for a while when the client goes', async () => {
    await using api = await open();
    const abort = new AbortController();
    const response = await fetch(`${api.url}${exec}?cmd=sleep`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}` },
      signal: abort.signal,
    });
    assert.equal(response.status, 200);
    assert.equal(last(api).clients, 1);
    abort.abort();
    await eventually(() => last(api).clients === 0);
    assert.equal(last(api).end, undefined);
  });

  it('refuses bad parameters with 400 and starts nothing', async () => {
    await using api = await open();
    for (const query of ['cmd=', 'env=x&cmd=ls', 'cmd=ls&stdin=perhaps', `cmd=${'x'.repeat(70_000)}`])
      assert.equal((await api.json('POST', `${exec}?${query}`)).status, 400, query.slice(0, 50));
    assert.equal(api.service.sessions.size, 0);
    assert.equal(api.service.leases, 0);
  });
});
