import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ApiFixture, eventually } from './testing/fixture.ts';

const exec = '/v1/sprites/one/exec';

/** A raw connection and what came back once the server closed it. */
function dial(api: ApiFixture, text: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.write(text);
  const answer = (async () => {
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.on('error', () => {});
    await once(socket, 'close');
    return received;
  })();
  return { socket, answer };
}

describe('the edges of the API', () => {
  it('answer unknown paths with 404 and other methods with 405', async () => {
    await using api = await ApiFixture.open();
    for (const path of [
      '/',
      '/v1',
      '/v2/sprites',
      '/v1/sprites/one/control',
      '/v1/sprites/one/fs/nonsense',
      '/v1/sprites/one/exec/1/2/3',
    ]) {
      const { status, body, headers } = await api.json('GET', path);
      assert.deepEqual([status, body.code, typeof body.hint], [404, 'not_found', 'string'], path);
      assert.ok(headers.get('x-request-id'));
      assert.equal(headers.get('sprite-version'), 'v0.1.0');
    }
    for (const [method, path, allow] of [
      ['PATCH', '/v1/sprites', 'POST, GET, HEAD'],
      ['GET', '/v1/sprites/one/start', 'POST'],
      ['DELETE', '/v1/sprites/one/exec', 'GET, HEAD, POST'],
      ['POST', '/healthz', 'GET, HEAD'],
    ] as const) {
      const { status, body, headers } = await api.json(method, path);
      assert.deepEqual([status, body.code, headers.get('allow')], [405, 'method_not_allowed', allow], path);
    }
    const bad = await api.json('GET', '/v1/sprites/%zz');
    assert.deepEqual([bad.status, bad.body.code], [400, 'invalid_request']);
    assert.ok(bad.headers.get('x-request-id'));
  });

  it('tell back no more than a part of what a client sent', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const long = 'x'.repeat(5_000);
    for (const [method, path, body] of [
      ['GET', `/v1/sprites/${long}`],
      ['GET', `/v1/sprites/%zz${long}`],
      ['GET', `/v1/sprites/one/exec/${long}`],
      ['GET', `/v1/sprites/one/checkpoints/${long.slice(0, 1_000)}`],
      ['GET', `/v1/sprites/one/checkpoints?history=${long}`],
      ['POST', `/v1/sprites/one/exec/${long.slice(0, 1_000)}/kill`],
      ['POST', '/v1/sprites', { name: long }],
      ['POST', '/v1/sprites', { name: 'two', config: { [long]: 1 } }],
      ['POST', '/v1/sprites', { name: 'two', environment: { [`${long}=`]: 'x' } }],
      ['POST', '/v1/sprites', `{"name": ${long}`],
      ['POST', `${exec}?cmd=ls&env=${long}`],
    ] as const) {
      const answer = await api.json(method, path, body === undefined ? {} : { body });
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${path.slice(0, 40)}`);
      assert.ok(answer.body.message.length < 600, `${answer.body.message.length} ${path.slice(0, 40)}`);
    }
    const { lines } = await api.lines('POST', `/v1/sprites/one/checkpoints/${long.slice(0, 1_000)}/restore`);
    for (const line of lines) assert.ok(JSON.stringify(line).length < 600);
  });

  it('refuse fields of a body that nobody knows, and name them', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const one = '/v1/sprites/one';
    for (const [method, path, body] of [
      ['PUT', one, { labels: ['changed'] }],
      ['POST', `${one}/fork`, { name: 'two' }],
      ['POST', `${one}/suspend`, {}],
      ['POST', `${one}/checkpoint`, { comment: 'x' }],
      ['POST', `${one}/checkpoints/v0/restore`, { mode: 'disk' }],
      ['POST', `${one}/jobs`, { cmd: ['true'] }],
      ['POST', `${one}/jobs/1/kill`, { signal: 'TERM' }],
      ['POST', `${one}/exec/1/kill`, { signal: 'TERM', timeout: '1s' }],
      ['PUT', `${one}/services/web`, { cmd: 'true' }],
      ['POST', `${one}/services/signal`, { name: 'web', signal: 'HUP' }],
      ['POST', `${one}/fs/rename`, { source: '/a', dest: '/b' }],
      ['POST', `${one}/fs/copy`, { source: '/a', dest: '/b' }],
      ['POST', `${one}/fs/chmod`, { path: '/a', mode: '0644' }],
      ['POST', `${one}/fs/chown`, { path: '/a', uid: 0 }],
    ] as const) {
      const before = api.service.calls.length;
      const answer = await api.json(method, path, { body: { ...body, surprise: 1 } });
      assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], path);
      assert.match(answer.body.message, /"surprise"/, path);
      assert.equal(api.service.calls.length, before, `${path}: nothing was done`);
    }
    const made = await api.json('POST', '/v1/sprites', { body: { name: 'three', surprise: 1 } });
    assert.equal(made.status, 201, 'clients of the public API may say more when they make a sprite');
  });

  it('answer an expectation nobody can meet with 417, in JSON', async () => {
    await using api = await ApiFixture.open();
    const answer = await dial(api, 'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\n\r\n').answer;
    assert.match(answer, /^HTTP\/1\.1 417 /);
    assert.match(answer, /\r\ncontent-type: application\/json; charset=utf-8\r\n/);
    assert.match(answer, /\r\nx-request-id: [^]*\r\nsprite-version: v0\.1\.0\r\n/);
    const body = JSON.parse(answer.split('\r\n\r\n')[1] as string) as Record<string, unknown>;
    assert.deepEqual([body['error'], body['code']], [body['message'], 'invalid_request']);
    assert.ok(body['hint']);
    const met = await dial(api, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n')
      .answer;
    assert.match(met, /^HTTP\/1\.1 100 [^]*HTTP\/1\.1 200 /);
  });

  it('refuse a body over the limit with 413, told or streamed, and stay usable', async () => {
    await using api = await ApiFixture.open({ limits: { maxJsonBytes: 1_000 } });
    const big = JSON.stringify({ name: 'one', runtime: 'x'.repeat(5_000_000) });
    const told = await api.json('POST', '/v1/sprites', { body: big });
    assert.deepEqual([told.status, told.body.code], [413, 'body_too_large']);
    const streamed = await fetch(`${api.url}/v1/sprites`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}` },
      body: new Blob([big]).stream(),
      duplex: 'half',
    });
    assert.equal(streamed.status, 413);
    assert.equal((await api.json('POST', '/v1/sprites', { body: { name: 'one' } })).status, 201);
  });

  it('refuse headers over the limit with 431 and no request at all with 400, in JSON', async () => {
    await using api = await ApiFixture.open({ limits: { maxHeaderBytes: 16_384 } });
    const long = await dial(api, `GET /healthz?${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`).answer;
    assert.match(long, /^HTTP\/1\.1 431 /);
    assert.match(long, /"code":"invalid_request"/);
    const none = await dial(api, 'hello\r\n\r\n').answer;
    assert.match(none, /^HTTP\/1\.1 400 /);
    assert.match(none, /x-request-id: /);
  });

  it('take long commands', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    api.service.onStart = (session) => session.exit(0);
    assert.equal((await api.request('POST', `${exec}?cmd=sh&cmd=-c&cmd=${'x'.repeat(50_000)}`)).status, 200);
  });

  it('give up on headers and JSON bodies that do not come', async () => {
    await using api = await ApiFixture.open({ limits: { headersTimeoutMs: 300, bodyTimeoutMs: 300 } });
    const headers = dial(api, 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const body = dial(
      api,
      `POST /v1/sprites HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\nContent-Length: 10\r\n\r\n{`,
    );
    assert.match(await headers.answer, /^HTTP\/1\.1 408 /);
    await body.answer;
    assert.deepEqual(api.service.calls, []);
  });

  it('do not give up on a slow input of a command', async () => {
    await using api = await ApiFixture.open({ limits: { headersTimeoutMs: 200, bodyTimeoutMs: 200 } });
    await api.sprite();
    const { socket, answer } = dial(
      api,
      `POST ${exec}?cmd=cat&stdin=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${api.token}\r\nContent-Length: 4\r\n\r\n`,
    );
    for (const byte of 'abcd') {
      await new Promise((resolve) => setTimeout(resolve, 250));
      socket.write(byte);
    }
    const session = api.service.sessions.get('1');
    await eventually(() => session?.received.at(-1) === '<eof>');
    session?.exit(0);
    assert.match(await answer, /^HTTP\/1\.1 200 [^]*\x03\x00/);
    assert.equal(session?.received.slice(0, -1).join(''), 'abcd');
  });

  it('say whether they are ready', async () => {
    let ready = false;
    await using api = await ApiFixture.open({ ready: () => ready });
    for (const path of ['/healthz', '/v1/sprites']) {
      const { status, body } = await api.json('GET', path);
      assert.deepEqual([status, body.code, body.retryable], [503, 'not_ready', true], path);
    }
    assert.equal((await api.socket(`${exec}?cmd=ls`).opened).status, 503);
    ready = true;
    assert.deepEqual((await api.json('GET', '/healthz')).body, { status: 'ok', version: '0.1.0' });
    assert.equal((await api.json('GET', '/v1/sprites')).status, 200);
  });

  it('give every request an id, the client’s if it is plain', async () => {
    await using api = await ApiFixture.open();
    const idOf = async (given?: string) =>
      (
        await api.json('GET', '/healthz', { headers: given === undefined ? {} : { 'x-request-id': given } })
      ).headers.get('x-request-id');
    assert.equal(await idOf('my-id.1'), 'my-id.1');
    assert.match((await idOf('bad id\t"')) ?? '', /^[0-9a-f-]{36}$/);
    assert.notEqual(await idOf(), await idOf());
  });
});

describe('the log', () => {
  it('has a line with the id of each request and never a token, a query or a header', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const secrets = [
      'hush-argument',
      'hush-variable',
      'hush-header',
      'hush-path',
      'hush-body',
      api.token,
      api.token.split('/')[3] as string,
    ];
    const headers = { 'x-secret': 'hush-header', 'x-request-id': 'traced' };
    api.service.onStart = (session) => session.exit(0);
    await api.socket(`${exec}?cmd=hush-argument&env=A=hush-variable`, headers).closed;
    await api.request('POST', `${exec}?cmd=hush-argument&env=A=hush-variable`, { headers });
    await api.socket(`${exec}?cmd=&env=hush-variable`, headers).opened;
    await api.json('GET', '/nothing/hush-path', { headers });
    await api.json('GET', '/v1/sprites/%zz?hush-path', { headers });
    await api.json('POST', '/v1/sprites', {
      headers,
      body: { name: 'x', environment: { A: 'hush-body', 'B=': 'hush-body' } },
    });
    await api.json('POST', '/v1/sprites', { headers, body: '{"name": hush-body' });
    await api.json('GET', '/v1/sprites', { headers: { ...headers, authorization: `Bearer ${api.token}x` } });
    api.service.before = () => {
      throw new Error('boom');
    };
    await api.json('POST', `${exec}?cmd=hush-argument`, { headers });
    await dial(api, 'GET /hush-path\r\nhush-header\r\n\r\n').answer;
    const text = api.log.join('');
    for (const secret of secrets)
      assert.ok(!text.includes(secret), `${secret} in ${api.log.find((line) => line.includes(secret))}`);
    assert.ok(api.log.filter((line) => line.includes('"reqId":"traced"')).length >= 9);
    assert.ok(
      api.log.some((line) => line.includes('"route":"/v1/sprites/:name/exec"') && line.includes('"org":"acme"')),
    );
  });
});

describe('failures in the log', () => {
  it('have a stack only when nobody foresaw them, and are quiet while the daemon starts', async () => {
    let ready = false;
    await using api = await ApiFixture.open({ ready: () => ready });
    const lines = () =>
      api.log
        .splice(0)
        .map((line) => JSON.parse(line) as { level: number; code?: string; err?: object; causes?: string[] });
    await api.json('GET', '/healthz');
    await api.json('GET', '/v1/sprites');
    assert.ok(lines().every(({ level, err }) => level <= 30 && err === undefined));
    ready = true;
    await api.sprite();
    const cause = new Error('the disk below');
    for (const [thrown, level, causes] of [
      [new SylphError('pool_full', 'the pool is full', { cause }), 40, ['the disk below']],
      [new SylphError('shutting_down', 'soon', { cause }), 20, ['the disk below']],
      [new Error('boom'), 50, undefined],
    ] as const) {
      api.service.before = () => {
        throw thrown;
      };
      lines();
      await api.json('POST', '/v1/sprites/one/start');
      const told = lines().find(({ code }) => code !== undefined);
      assert.deepEqual([told?.level, told?.causes, told?.err !== undefined], [level, causes, level === 50]);
    }
  });
});

describe('clients that leave while their command starts', () => {
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

  for (const [kind, request, leave] of [
    ['a socket that is cut', `GET ${exec}?cmd=sleep`, 'resetAndDestroy'],
    ['a socket that is half closed', `GET ${exec}?cmd=sleep`, 'end'],
    ['an HTTP exec that is cut', `POST ${exec}?cmd=sleep`, 'resetAndDestroy'],
  ] as const)
    it(`are no clients of it any more: ${kind}`, async () => {
      await using api = await ApiFixture.open({ limits: { maxStreams: 1 } });
      await api.sprite();
      const started = Promise.withResolvers<void>();
      api.service.onStart = () => started.promise;
      const { socket, answer } = dial(
        api,
        `${request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\n${request.startsWith('GET') ? upgrade : ''}\r\n`,
      );
      await eventually(() => api.service.sessions.size === 1);
      socket[leave]();
      // The server hears of it before the command has started.
      await new Promise((resolve) => setTimeout(resolve, 50));
      started.resolve();
      await answer;
      await eventually(() => api.service.leases === 0 && api.service.sessions.get('1')?.clients === 0);
      // Its place is free again.
      const next = api.socket(`${exec}?cmd=true`);
      assert.equal((await next.opened).status, 101);
      next.raw.terminate();
    });

  it('leave nothing behind on a connection that is used again and again', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    api.service.onStart = (session) => session.exit(0);
    const { socket, answer } = dial(api, '');
    let connection: Socket | undefined;
    api.app.server.once('request', (request: { socket: Socket }) => (connection = request.socket));
    let answered = 0;
    let before = 0;
    socket.on('data', (chunk: Buffer) => (answered += chunk.toString('latin1').split('\r\n0\r\n\r\n').length - 1));
    for (let count = 1; count <= 20; count++) {
      socket.write(
        `POST ${exec}?cmd=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\nContent-Length: 0\r\n\r\n`,
      );
      await eventually(() => answered === count);
      if (count === 1) before = connection?.listenerCount('close') ?? -1;
    }
    assert.equal(connection?.listenerCount('close'), before);
    socket.destroy();
    await answer;
  });
});

describe('closing', () => {
  it('flushes and ends exec sockets with 1012, cuts streams, refuses what is new, and leaves sessions alone', async () => {
    await using api = await ApiFixture.open({ limits: { closeTimeoutMs: 500 } });
    await api.sprite();
    const socket = api.socket(`${exec}?cmd=sleep`);
    await socket.until((messages) => messages.length === 1);
    const stuck = api.socket(`${exec}?cmd=sleep`);
    await stuck.until((messages) => messages.length === 1);
    stuck.raw.pause();
    const watch = await api.request('GET', '/v1/sprites', { headers: { accept: 'application/x-ndjson' } });
    const http = await api.request('POST', `${exec}?cmd=sleep`);
    const session = api.service.sessions.get('1');
    session?.print('last words');
    const closing = api.app.close();
    const { code, reason } = await socket.closed;
    assert.deepEqual([code, reason], [1012, 'the server restarts; attach again']);
    assert.deepEqual(socket.brief, ['session_info', '1:last words']);
    await assert.rejects(watch.text());
    await assert.rejects(http.arrayBuffer());
    await closing;
    assert.equal(session?.end, undefined);
    assert.ok([...api.service.sessions.values()].every(({ clients }) => clients === 0));
    await assert.rejects(fetch(`${api.url}/healthz`));
    stuck.raw.terminate();
  });

  it('waits for a request under way, but not for ever', async () => {
    await using api = await ApiFixture.open({ limits: { closeTimeoutMs: 200 } });
    await api.sprite();
    api.service.before = (call) =>
      call.startsWith('suspend')
        ? new Promise((resolve) => setTimeout(resolve, 50))
        : call.startsWith('restart')
          ? new Promise(() => {})
          : undefined;
    const short = api.json('POST', '/v1/sprites/one/suspend');
    const endless = assert.rejects(api.json('POST', '/v1/sprites/one/restart'));
    await eventually(() => api.service.calls.includes('restart one') && api.service.calls.includes('suspend one'));
    const closing = api.app.close();
    assert.equal((await short).status, 200);
    await endless;
    await closing;
  });
});
