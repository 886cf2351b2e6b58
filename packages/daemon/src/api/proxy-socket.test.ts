import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { proxyPort, SpritesClient } from '@fly/sprites';
import fc from 'fast-check';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { ApiFixture, eventually, type Json, type TestSocket } from './testing/fixture.ts';

const proxy = '/v1/sprites/one/proxy';
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const bytesOf = (socket: TestSocket): Buffer => Buffer.concat(socket.messages.filter((one) => Buffer.isBuffer(one)));

/** A TCP service in the sprite's network, which is this machine's. */
async function serve(handle: (socket: net.Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // tests break connections
    handle(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('the proxy', () => {
  let api: ApiFixture<AgentService>;

  useAgentApi(
    async (opened) => {
      api = opened;
      await api.sprite();
    },
    { limits: { closeTimeoutMs: 200 } },
  );

  async function dial(port: number, more: object = {}): Promise<TestSocket> {
    const socket = api.socket(proxy);
    await once(socket.raw, 'open');
    socket.send({ port, ...more });
    await socket.until((messages) => messages.length > 0);
    return socket;
  }

  it('carries bytes both ways and closes with 1000 at the end', async () => {
    const answer = randomBytes(5_000_000);
    await using echo = await serve((socket) => {
      const got: Buffer[] = [];
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => {
        got.push(chunk);
        bytes += chunk.length;
        if (bytes < 5_000_000) return;
        socket.write(createHash('sha256').update(Buffer.concat(got)).digest());
        socket.end(answer);
      });
    });
    const socket = await dial(echo.port);
    assert.deepEqual(socket.messages[0], { status: 'connected', target: `127.0.0.1:${echo.port}` });
    const input = randomBytes(5_000_000);
    for (let at = 0; at < input.length; at += 100_000) socket.raw.send(input.subarray(at, at + 100_000));
    assert.deepEqual(await socket.closed, { code: 1000, reason: '' });
    const all = bytesOf(socket);
    assert.equal(all.subarray(0, 32).toString('hex'), sha256(input));
    assert.equal(sha256(all.subarray(32)), sha256(answer));
    await eventually(() => api.service.leases === 0);
  });

  it('ends the input alone for a client that asked for half-close, and sends its first bytes without delay', async () => {
    await using late = await serve((socket) => {
      const hash = createHash('sha256');
      socket.write('hello');
      socket.on('data', (chunk: Buffer) => hash.update(chunk));
      socket.on('end', () => setTimeout(() => socket.end(hash.digest()), 300));
    });
    const socket = await dial(late.port, { half_close: true });
    assert.deepEqual(socket.messages[0], {
      status: 'connected',
      target: `127.0.0.1:${late.port}`,
      half_close: true,
    });
    const input = randomBytes(8_000_000);
    for (let at = 0; at < input.length; at += 100_000) socket.raw.send(input.subarray(at, at + 100_000));
    socket.send({ type: 'eof', more: 'fields' });
    assert.deepEqual(await socket.closed, { code: 1000, reason: '' });
    const all = bytesOf(socket);
    assert.deepEqual([all.subarray(0, 5).toString(), all.subarray(5).toString('hex')], ['hello', sha256(input)]);
    await eventually(() => api.service.leases === 0);
  });

  it('resets the connection of a client that asked for half-close and says what makes no sense', async () => {
    const cases: [(string | Buffer)[], number][] = [
      [['text'], 1003],
      [['{"type":"eof"'], 1003],
      [['{"type":"other"}'], 1003],
      [[`{"type":"eof","more":"${' '.repeat(5_000)}"}`], 1003],
      [['{"type":"eof"}', Buffer.from('more')], 1008],
      [['{"type":"eof"}', '{"type":"eof"}'], 1008],
    ];
    for (const [messages, code] of cases) {
      const ended = Promise.withResolvers<string>();
      await using quiet = await serve((socket) => {
        socket.resume();
        socket.on('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''));
        // Who has read an end hears of a reset when he writes.
        const writing = setInterval(() => socket.write('x'), 20);
        socket.once('close', () => clearInterval(writing));
      });
      const socket = await dial(quiet.port, { half_close: true });
      for (const message of messages) socket.send(message);
      assert.equal((await socket.closed).code, code, String(messages[0]));
      assert.match(await ended.promise, /^(ECONNRESET|EPIPE)$/);
    }
    const refused = api.socket(proxy);
    await once(refused.raw, 'open');
    refused.send({ port: 1, half_close: 'yes' });
    assert.equal((await refused.closed).code, 1008);
    await eventually(() => api.service.leases === 0);
  });

  it('takes the text of other clients for bytes', async () => {
    await using echo = await serve((socket) => void socket.pipe(socket));
    const socket = await dial(echo.port);
    assert.deepEqual(Object.keys(socket.messages[0] as Json), ['status', 'target']);
    const text = '{"type":"eof"}';
    socket.send(text);
    await socket.until(() => bytesOf(socket).length >= text.length);
    assert.equal(bytesOf(socket).toString(), text);
    socket.raw.close();
    await socket.closed;
  });

  it('tells the engine of bytes in both directions, and of nothing else', async () => {
    await using service = await serve((socket) => {
      socket.resume();
      socket.on('end', () => socket.end());
      setTimeout(() => socket.write('x'), 700);
    });
    const before = api.service.used;
    const socket = await dial(service.port);
    socket.raw.ping();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(api.service.used, before);
    // As one burst.
    for (let count = 0; count < 100; count++) socket.raw.send(Buffer.from('y'));
    await eventually(() => api.service.used === before + 1);
    await socket.until((messages) => messages.length > 1);
    assert.equal(api.service.used, before + 2);
    socket.raw.close();
    await eventually(() => api.service.leases === 0);
  });

  it('says why there is no connection', async () => {
    const unused = await serve(() => {});
    await unused[Symbol.asyncDispose]();
    const socket = await dial(unused.port, { host: '127.0.0.1' });
    const answer = socket.messages[0] as Json;
    assert.deepEqual([answer.status, answer.code], ['error', 'ECONNREFUSED']);
    assert.match(answer.error, /refused/);
    assert.equal((await socket.closed).code, 4502);
    await eventually(() => api.service.leases === 0);
  });

  it('refuses what is no request, before it dials', async () => {
    const cases: [string | Buffer, number][] = [
      ['nonsense', 1003],
      [Buffer.from('{"port":1}'), 1003],
      [' '.repeat(5_000), 1003],
      ['[]', 1008],
      ['{}', 1008],
      ['{"port":0}', 1008],
      ['{"port":"80"}', 1008],
      ['{"port":80,"host":"a b"}', 1008],
      ['{"port":80,"host":"a:1\\r\\nx"}', 1008],
      ['{"port":80,"host":"fe80::1%eth0"}', 1008],
      ['{"port":80,"host":"1.2.3.999"}', 1008],
    ];
    for (const [first, code] of cases) {
      const socket = api.socket(proxy);
      await once(socket.raw, 'open');
      socket.send(first);
      assert.equal((await socket.closed).code, code, String(first));
      const answer = socket.messages[0] as Json;
      assert.deepEqual([answer.status, answer.code], ['error', 'invalid_request'], String(first));
    }
    await eventually(() => api.service.leases === 0);
  });

  it('refuses before the upgrade what can be known by then', async () => {
    assert.equal((await api.socket('/v1/sprites/none/proxy').opened).status, 404);
    assert.equal((await api.socket(proxy, { authorization: 'Bearer x' }).opened).status, 401);
    assert.equal((await api.json('GET', proxy)).status, 400);
  });

  it('holds a service back whose client does not read, and a client whose service does not', async () => {
    let written = 0;
    await using flood = await serve((socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536))) written += 65_536;
        socket.once('drain', more);
      };
      more();
      socket.pause();
    });
    const socket = await dial(flood.port);
    socket.raw.pause();
    let before = -1;
    await eventually(() => written > 1_000_000);
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    // Buffers of sockets and streams on the way, all of them bounded.
    assert.ok(written < 40_000_000, `${written}`);
    let sent = 0;
    while (socket.raw.bufferedAmount < 4_000_000 && sent < 200_000_000) {
      for (let count = 0; count < 16; count++) socket.raw.send(Buffer.alloc(65_536));
      sent += 16 * 65_536;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(sent < 100_000_000, `${sent}`);
    socket.raw.terminate();
    await eventually(() => api.service.leases === 0);
  });

  it('delivers what a client sent before it said goodbye, and the end of it', async () => {
    const heard = Promise.withResolvers<Buffer>();
    await using slow = await serve((socket) => {
      const got: Buffer[] = [];
      socket.pause();
      setTimeout(() => socket.resume(), 200);
      socket.on('data', (chunk: Buffer) => got.push(chunk));
      socket.on('end', () => {
        heard.resolve(Buffer.concat(got));
        socket.end();
      });
    });
    const socket = await dial(slow.port);
    const input = randomBytes(3_000_000);
    socket.raw.send(input);
    socket.raw.close();
    assert.equal(sha256(await heard.promise), sha256(input));
    await eventually(() => api.service.leases === 0);
  });

  it('resets the connection of a client that vanishes, and tells a reset from an end', async () => {
    const ended = Promise.withResolvers<string>();
    await using one = await serve((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''));
      socket.on('end', () => ended.resolve('end'));
      socket.on('data', (data) => data.toString() === 'reset' && socket.resetAndDestroy());
    });
    const socket = await dial(one.port);
    socket.raw.terminate();
    assert.equal(await ended.promise, 'ECONNRESET');
    const other = await dial(one.port);
    other.raw.send(Buffer.from('reset'));
    assert.deepEqual(await other.closed, { code: 1011, reason: 'the connection was reset inside the sprite' });
  });

  it('lets every banner through to the official client', async () => {
    await using banner = await serve((socket) => void socket.write('banner\n'));
    const client = new SpritesClient(api.token, { baseURL: api.url });
    const session = await proxyPort(client, 'one', 0, banner.port);
    const address = session.localAddr() ?? '';
    for (let count = 0; count < 20; count++) {
      const local = net.connect(Number(address.split(':').at(-1)), 'localhost');
      const [data] = (await once(local, 'data')) as [Buffer];
      assert.equal(data.toString(), 'banner\n');
      local.destroy();
    }
    session.close();
  });

  it('survives any messages', async () => {
    await using echo = await serve((socket) => void socket.pipe(socket));
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
      fc.string(),
      fc.json(),
      fc.constant(JSON.stringify({ port: echo.port })),
      fc.record({ host: fc.string(), port: fc.integer() }).map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 6 }), async (messages) => {
        const socket = api.socket(proxy);
        await once(socket.raw, 'open');
        for (const one of messages) socket.send(one);
        await socket.until((all) => all.length > 0).catch(() => []);
        socket.raw.close();
        await socket.closed;
      }),
      { numRuns: 40 },
    );
    assert.equal((await api.json('GET', '/v1/sprites/one')).status, 200);
  });

  it('says goodbye when the API closes', async () => {
    const own = await ApiFixture.over(api.service, { limits: { closeTimeoutMs: 300 } });
    await using quiet = await serve(() => {});
    await own.sprite('two');
    const socket = own.socket('/v1/sprites/two/proxy');
    await once(socket.raw, 'open');
    socket.send({ port: quiet.port });
    await socket.until((messages) => messages.length > 0);
    await own[Symbol.asyncDispose]();
    assert.deepEqual(await socket.closed, { code: 1012, reason: 'the server restarts; connect again' });
  });
});
