import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SylphError } from '@sylph/model';
import { EdgeFixture } from './testing/fixture.ts';
import { raw, rawServer } from './testing/raw.ts';

describe('a guest', () => {
  it('that answers with what is not HTTP, too much or nothing is told of as such', async () => {
    await using edge = await EdgeFixture.open({ limits: { answerTimeoutMs: 400 } });
    const sprite = await edge.sprite('one', () => {});
    let say: (socket: net.Socket) => void = () => {};
    await using server = await rawServer((socket) => socket.once('data', () => say(socket)));
    sprite.ports.set(8080, server.port);
    const cases: [what: string, say: (socket: net.Socket) => void, status: number, code: string][] = [
      ['garbage', (socket) => socket.end('\0\x01garbage\r\n\r\n'), 502, 'bad_http_answer'],
      ['another protocol', (socket) => socket.write('SSH-2.0-OpenSSH_10\r\n'), 502, 'bad_http_answer'],
      [
        'two lengths',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
        502,
        'bad_http_answer',
      ],
      [
        'both framings',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
        502,
        'bad_http_answer',
      ],
      [
        'a null byte in a header',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n'),
        502,
        'bad_http_answer',
      ],
      ['a status of four digits', (socket) => socket.end('HTTP/1.1 2000 OK\r\n\r\n'), 502, 'bad_http_answer'],
      ['a head without end', (socket) => void flood(socket), 502, 'bad_http_answer'],
      ['a head that drips', (socket) => void drip(socket), 504, 'timeout'],
      ['nothing', () => {}, 504, 'timeout'],
      ['only interim answers', (socket) => void flood(socket, 'HTTP/1.1 102 Processing\r\n\r\n', 20), 504, 'timeout'],
      ['the end', (socket) => socket.end(), 502, 'bad_http_answer'],
      ['a reset', (socket) => socket.resetAndDestroy(), 502, 'bad_http_answer'],
      [
        'another protocol, asked by nobody',
        (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
        502,
        'bad_http_answer',
      ],
    ];
    for (const [what, each, status, code] of cases) {
      say = each;
      const answer = await edge.fetch(edge.host('one')).catch((error: unknown) => {
        throw new Error(what, { cause: error });
      });
      assert.deepEqual([answer.status, JSON.parse(answer.body).code], [status, code], what);
    }
    const page = await edge.fetch(edge.host('one'), '/', { headers: { accept: 'text/html' } });
    assert.match(page.body, /<h1>The sprite did not answer<\/h1>/);
  });

  it('that breaks off in the middle of an answer breaks the answer off', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', () => {});
    let text = '';
    let reset = false;
    await using server = await rawServer((socket) =>
      socket.once('data', () => {
        socket.write(text);
        setTimeout(() => (reset ? socket.resetAndDestroy() : socket.end()), 50);
      }),
    );
    sprite.ports.set(8080, server.port);
    for (const [head, broken] of [
      ['Content-Length: 10', true],
      ['Transfer-Encoding: chunked', true],
      ['Connection: close', false],
    ] as const) {
      for (reset of [false, true]) {
        text = `HTTP/1.1 200 OK\r\n${head}\r\n\r\n${head.startsWith('Transfer') ? '4\r\n' : ''}part`;
        const wanted = edge.fetch(edge.host('one'));
        if (broken || reset) await assert.rejects(wanted, /aborted|socket hang up|ECONNRESET/, `${head} ${reset}`);
        else assert.equal((await wanted).body, 'part');
      }
    }
  });

  it('that closes kept connections loses no request', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', () => {});
    let requests = 0;
    await using server = await rawServer((socket) => {
      let served = 0;
      socket.on('data', () => {
        // The second request of a connection is never answered: the server has gone in that moment.
        if (served++ > 0) {
          socket.destroy();
          return;
        }
        requests += 1;
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    });
    sprite.ports.set(8080, server.port);
    for (let count = 0; count < 5; count++) assert.equal((await edge.fetch(edge.host('one'))).status, 200);
    assert.equal(requests, 5);
    await sleep(1_100);
    const post = await edge.fetch(edge.host('one'), '/', { method: 'POST', body: 'x' });
    assert.equal(post.status, 200, 'what must not be sent twice goes over no old connection');
    const again = await edge.fetch(edge.host('one'), '/', { method: 'POST', body: 'x' });
    assert.equal(again.status, 502, 'and is not sent twice');
  });

  it('that sleeps ends what it had; the next request wakes it', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', (request, response) => {
      if (request.url === '/part') response.write('part');
      else if (request.url !== '/never') response.end('whole');
    });
    const part = assert.rejects(edge.fetch(edge.host('one'), '/part'));
    const never = edge.fetch(edge.host('one'), '/never');
    await sleep(200);
    sprite.sleep();
    await part;
    assert.equal((await never).status, 502);
    assert.equal((await edge.fetch(edge.host('one'))).body, 'whole');
    assert.equal(sprite.wakes, 2);
  });

  it('gets no connection without a request', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', () => {});
    let connections = 0;
    let empty = 0;
    await using server = await rawServer((socket) => {
      connections += 1;
      let asked = false;
      socket.on('data', () => {
        asked = true;
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      });
      socket.on('close', () => (empty += asked ? 0 : 1));
    });
    sprite.ports.set(8080, server.port);
    const answers = await Promise.all([edge.fetch(edge.host('one')), edge.fetch(edge.host('one'))]);
    assert.deepEqual(
      answers.map(({ body }) => body),
      ['ok', 'ok'],
    );
    await sleep(100);
    assert.deepEqual([connections, empty], [2, 0]);
  });

  it('that goes to sleep under a request is woken for it, also for one that must not be sent twice', async () => {
    await using edge = await EdgeFixture.open();
    const bodies: string[] = [];
    const sprite = await edge.sprite('one', (request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
      request.on('end', () => response.end('ok'));
    });
    for (const body of ['first', 'second', 'third']) {
      assert.equal((await edge.fetch(edge.host('one'), '/', { method: 'POST', body })).body, 'ok');
      sprite.sleepUnderUse();
    }
    assert.deepEqual(bodies, ['first', 'second', 'third']);
    assert.equal((await edge.fetch(edge.host('one'))).body, 'ok');
    assert.equal(sprite.wakes, 4);
  });

  it('that works on a request is kept awake meanwhile', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', (_request, response) => void setTimeout(() => response.end(), 1_200));
    await edge.fetch(edge.host('one'));
    assert.ok(sprite.used >= 4, String(sprite.used));
  });
});

describe('a sprite that cannot start', () => {
  it('is told of, with the reason and when to come again', async () => {
    await using edge = await EdgeFixture.open({ limits: { startTimeoutMs: 300 } });
    const sprite = await edge.sprite('one', () => {});
    for (const [error, status, code, retry] of [
      [new SylphError('sprite_failed', 'its disk is damaged'), 503, 'sprite_failed', '30'],
      [new SylphError('too_many_sprites', 'x'), 503, 'too_many_sprites', '10'],
      [new SylphError('pool_full', 'the pool is full'), 503, 'pool_full', '30'],
      [new SylphError('shutting_down', 'x'), 503, 'shutting_down', '5'],
      [new Error('a secret detail'), 500, 'internal', undefined],
    ] as const) {
      sprite.onWake = () => {
        throw error;
      };
      const answer = await edge.fetch(edge.host('one'));
      assert.deepEqual(
        [answer.status, JSON.parse(answer.body).code, answer.headers['retry-after']],
        [status, code, retry],
      );
      assert.doesNotMatch(answer.body, /secret/);
    }
    const stuck = Promise.withResolvers<void>();
    sprite.onWake = () => stuck.promise;
    const late = await edge.fetch(edge.host('one'));
    assert.deepEqual([late.status, JSON.parse(late.body).code], [503, 'timeout']);
    stuck.resolve();
  });

  it('is not started by strangers beyond what the host can take', async () => {
    await using edge = await EdgeFixture.open({ limits: { maxAnonymousStarts: 2 } });
    const start = Promise.withResolvers<void>();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) {
      const sprite = await edge.sprite(name, (_request, response) => response.end(name), {
        auth: name === 'd' ? 'sprite' : 'public',
      });
      sprite.onWake = () => start.promise;
    }
    const held = [edge.fetch(edge.host('a')), edge.fetch(edge.host('a')), edge.fetch(edge.host('b'))];
    await sleep(100);
    const refused = await edge.fetch(edge.host('c'));
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '3']);
    const known = edge.fetch(edge.host('d'), '/', { headers: { authorization: `Bearer ${edge.token()}` } });
    start.resolve();
    assert.deepEqual(
      (await Promise.all(held)).map(({ body }) => body),
      ['a', 'a', 'b'],
    );
    assert.equal((await known).body, 'd');
    assert.equal((await edge.fetch(edge.host('c'))).body, 'c');
  });
});

describe('clients', () => {
  it('by the thousand that send no request are cut off, and hold up nobody', async () => {
    await using edge = await EdgeFixture.open({ limits: { headersTimeoutMs: 1_500 } });
    await edge.sprite('one', (_request, response) => response.end('ok'));
    const sockets: net.Socket[] = [];
    const closed: Promise<unknown>[] = [];
    for (let count = 0; count < 2_000; count++) {
      const socket = net.connect(edge.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(count % 2 === 0 ? 'GET / HTTP/1.1\r\nHo' : '');
      socket.resume();
      sockets.push(socket);
      closed.push(new Promise((resolve) => void socket.once('close', resolve)));
    }
    const began = performance.now();
    assert.equal((await edge.fetch(edge.host('one'))).body, 'ok');
    assert.ok(performance.now() - began < 3_000);
    await Promise.all(closed.filter((_, index) => index % 2 === 0));
    for (const socket of sockets) socket.destroy();
  });

  it('that stop in the middle of a body, or take nothing of an answer, are given up', async () => {
    await using edge = await EdgeFixture.open({ limits: { stallTimeoutMs: 500 } });
    const block = Buffer.alloc(1_000_000);
    const ended: string[] = [];
    await edge.sprite('one', (request, response) => {
      request.on('error', () => {});
      request.on('close', () => ended.push(String(request.url)));
      if (request.url === '/body') {
        request.resume();
        return;
      }
      const write = (): void => {
        while (response.write(block));
      };
      response.on('drain', write);
      write();
    });
    const began = performance.now();
    const body = await raw(
      edge.port,
      `POST /body HTTP/1.1\r\nHost: ${edge.host('one')}\r\nContent-Length: 10\r\n\r\nabc`,
      { timeoutMs: 5_000 },
    );
    assert.equal(body, '');
    const socket = net.connect(edge.port, '127.0.0.1').pause();
    socket.on('error', () => {});
    socket.write(`GET /answer HTTP/1.1\r\nHost: ${edge.host('one')}\r\n\r\n`);
    while (!ended.includes('/answer')) {
      assert.ok(performance.now() - began < 10_000);
      await sleep(50);
    }
    socket.destroy();
    const request = http
      .request({ host: '127.0.0.1', port: edge.port, agent: false, headers: { host: edge.host('one') } })
      .end();
    const [slow] = (await once(request, 'response')) as [http.IncomingMessage];
    for (let count = 0; count < 12; count++) {
      slow.read();
      await sleep(100);
    }
    assert.ok(!slow.destroyed, 'who takes a little at a time is not');
    request.destroy();
  });

  it('that are merely silent are not given up', async () => {
    await using edge = await EdgeFixture.open({ limits: { stallTimeoutMs: 200 } });
    const server = http.createServer((_request, response) => void response.write('events'));
    server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.pipe(socket);
    });
    const sprite = await edge.sprite('one', () => {});
    sprite.ports.set(8080, await edge.listen(server));
    const headers = { host: edge.host('one') };
    const events = http.get({ host: '127.0.0.1', port: edge.port, headers, agent: false });
    const [stream] = (await once(events, 'response')) as [http.IncomingMessage];
    stream.on('error', () => {});
    const handshake = { ...headers, connection: 'Upgrade', upgrade: 'websocket' };
    const chat = http.get({ host: '127.0.0.1', port: edge.port, headers: handshake, agent: false });
    const [, socket] = (await once(chat, 'upgrade')) as [http.IncomingMessage, net.Socket];
    await sleep(1_000);
    assert.ok(!stream.destroyed && !socket.destroyed);
    socket.write('still there');
    const [echo] = (await once(socket, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'still there');
    events.destroy();
    socket.destroy();
  });

  it('of one address have so many connections, and all together so many', async () => {
    for (const [limits, trusts] of [
      [{ maxConnections: 5 }, () => true],
      [{ maxConnectionsPerAddress: 5 }, () => false],
    ] as const) {
      await using edge = await EdgeFixture.open({ limits, trusts });
      await edge.sprite('one', (_request, response) => response.end('ok'));
      const sockets: net.Socket[] = [];
      for (let count = 0; count < 5; count++) {
        const socket = net.connect(edge.port, '127.0.0.1');
        socket.on('error', () => {});
        await once(socket, 'connect');
        sockets.push(socket);
      }
      await sleep(50);
      assert.equal(await raw(edge.port, `GET / HTTP/1.1\r\nHost: ${edge.host('one')}\r\n\r\n`), '');
      sockets.pop()?.destroy();
      await sleep(50);
      assert.equal((await edge.fetch(edge.host('one'))).body, 'ok');
      for (const socket of sockets) socket.destroy();
    }
  });

  it('beyond what a sprite serves at once are told to come again', async () => {
    await using edge = await EdgeFixture.open({ limits: { maxRequestsPerSprite: 2 } });
    const go = Promise.withResolvers<void>();
    await edge.sprite('one', (_request, response) => void go.promise.then(() => response.end('ok')));
    await edge.sprite('two', (_request, response) => response.end('ok'));
    const held = [edge.fetch(edge.host('one')), edge.fetch(edge.host('one'))];
    await sleep(100);
    const refused = await edge.fetch(edge.host('one'));
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    assert.equal((await edge.fetch(edge.host('two'))).status, 200, 'others are not held up');
    go.resolve();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    assert.equal((await edge.fetch(edge.host('one'))).status, 200);
  });

  it('finish what they have under way while the edge closes, for a time', async () => {
    const edge = await EdgeFixture.open({ limits: { closeTimeoutMs: 1_000 } });
    await edge.sprite('one', (request, response) => {
      if (request.url === '/soon') setTimeout(() => response.end('done'), 300);
      else response.write('endless');
    });
    const soon = edge.fetch(edge.host('one'), '/soon');
    const endless = assert.rejects(edge.fetch(edge.host('one'), '/endless'));
    await sleep(100);
    const began = performance.now();
    await edge.close();
    assert.equal((await soon).body, 'done');
    await endless;
    assert.ok(performance.now() - began < 2_000);
    await assert.rejects(edge.fetch(edge.host('one')), /ECONNREFUSED/);
    await edge[Symbol.asyncDispose]();
  });
});

/** Writes without end, until the other side has had enough. */
async function flood(
  socket: net.Socket,
  piece = `X-${'y'.repeat(50)}: ${'z'.repeat(1_000)}\r\n`,
  pauseMs = 0,
): Promise<void> {
  if (pauseMs === 0) socket.write('HTTP/1.1 200 OK\r\n');
  while (!socket.destroyed) {
    if (!socket.write(piece)) await new Promise((resolve) => void socket.once('drain', resolve).once('close', resolve));
    if (pauseMs > 0) await sleep(pauseMs);
  }
}

async function drip(socket: net.Socket): Promise<void> {
  for (const byte of 'HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyy') {
    if (socket.destroyed) return;
    socket.write(byte);
    await sleep(50);
  }
}
