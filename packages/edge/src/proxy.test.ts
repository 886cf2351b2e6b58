import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket, { WebSocketServer } from 'ws';
import { EdgeFixture } from './testing/fixture.ts';
import { raw } from './testing/raw.ts';

/** A request whose events a test looks at. */
function open(edge: EdgeFixture, options: http.RequestOptions): http.ClientRequest {
  return http.request({
    host: '127.0.0.1',
    port: edge.port,
    agent: false,
    ...options,
    headers: { host: edge.host('one'), ...(options.headers as http.OutgoingHttpHeaders) },
  });
}

describe('requests', () => {
  it('pass with every method, body and framing', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (request, response) => {
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => hash.update(chunk));
      request.on('end', () => {
        const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
        response.end(
          JSON.stringify([request.method, request.url, length ?? null, encoding ?? null, hash.digest('hex')]),
        );
      });
    });
    const body = Buffer.alloc(300_000, 'sylph');
    const digest = createHash('sha256').update(body).digest('hex');
    const none = createHash('sha256').digest('hex');
    for (const method of ['PUT', 'POST', 'PATCH', 'DELETE', 'PROPFIND', 'GET']) {
      const headers = { 'content-length': String(body.length) };
      assert.deepEqual(
        JSON.parse((await edge.fetch(edge.host('one'), '/a%2Fb?c=%20', { method, body, headers })).body),
        [method, '/a%2Fb?c=%20', String(body.length), null, digest],
      );
    }
    const chunked = await edge.fetch(edge.host('one'), '/', {
      method: 'POST',
      body,
      headers: { 'transfer-encoding': 'chunked' },
    });
    assert.deepEqual(JSON.parse(chunked.body), ['POST', '/', null, 'chunked', digest]);
    assert.deepEqual(JSON.parse((await edge.fetch(edge.host('one'), '/', { method: 'DELETE' })).body).slice(2), [
      null,
      null,
      none,
    ]);
    const empty = await edge.fetch(edge.host('one'), '/', { method: 'POST', headers: { 'content-length': '0' } });
    assert.deepEqual(JSON.parse(empty.body).slice(2), ['0', null, none]);
    const absolute = await raw(
      edge.port,
      `GET http://${edge.host('one')}/abs?x HTTP/1.1\r\nHost: ${edge.host('one')}\r\nConnection: close\r\n\r\n`,
    );
    assert.match(absolute, /"GET","\/abs\?x"/);
    const star = await raw(edge.port, `OPTIONS * HTTP/1.1\r\nHost: ${edge.host('one')}\r\nConnection: close\r\n\r\n`);
    assert.match(star, /"OPTIONS","\*"/);
    assert.match(await raw(edge.port, `GET / HTTP/1.0\r\nHost: ${edge.host('one')}\r\n\r\n`), /^HTTP\/1\.1 200 OK\r\n/);
  });

  it('wait for 100-continue where the sprite says it, and are answered where it says no', async () => {
    await using edge = await EdgeFixture.open();
    const server = http.createServer();
    server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
      if (request.url === '/no') {
        response.writeHead(413, { connection: 'close' }).end('too much');
        return;
      }
      response.writeContinue();
      request.resume();
      request.on('end', () => response.end('taken'));
    });
    const sprite = await edge.sprite('one', () => {});
    sprite.ports.set(8080, await edge.listen(server));
    for (const [path, status, continues] of [
      ['/yes', 200, true],
      ['/no', 413, false],
    ] as const) {
      const request = open(edge, { method: 'POST', path, headers: { expect: '100-continue', 'content-length': '5' } });
      let continued = false;
      request.on('continue', () => {
        continued = true;
        request.end('hello');
      });
      request.flushHeaders();
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      assert.deepEqual([response.statusCode, continued], [status, continues]);
      response.resume();
      await once(response, 'end');
      request.destroy();
    }
  });

  it('that break off in the middle break off for the sprite too', async () => {
    await using edge = await EdgeFixture.open();
    const broken = Promise.withResolvers<boolean>();
    await edge.sprite('one', (request) => {
      request.on('error', () => {});
      request.on('close', () => broken.resolve(request.complete));
      request.resume();
    });
    const request = open(edge, { method: 'POST', headers: { 'content-length': '1000' } });
    request.on('error', () => {});
    request.write('part');
    await sleep(100);
    request.destroy();
    assert.equal(await broken.promise, false);
  });
});

describe('answers', () => {
  it('come with their status, reason, headers and trailers', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (request, response) => {
      response.sendDate = false;
      if (request.url === '/trailers') {
        response.writeHead(200, { Trailer: 'X-Sum' });
        response.write('body');
        response.addTrailers({ 'X-Sum': '42' });
        response.end();
        return;
      }
      response.writeHead(418, 'Short and Stout', [
        'X-One',
        '1',
        'Set-Cookie',
        'a=1',
        'Set-Cookie',
        'b=2',
        'Vary',
        'x',
        'vary',
        'y',
      ]);
      response.end('tea');
    });
    const text = await raw(edge.port, `GET / HTTP/1.1\r\nHost: ${edge.host('one')}\r\nConnection: close\r\n\r\n`);
    assert.match(
      text,
      /^HTTP\/1\.1 418 Short and Stout\r\nX-One: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: x\r\nvary: y\r\n/,
    );
    const answer = await edge.fetch(edge.host('one'), '/trailers');
    assert.deepEqual([answer.body, answer.trailers['x-sum'], answer.headers['via']], ['body', '42', '1.1 sylph']);
  });

  it('without a body have none: HEAD, 204, 304', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (request, response) => {
      response.statusCode = Number(request.url?.slice(1) ?? 200);
      if (request.method === 'HEAD') response.setHeader('content-length', '1234');
      response.end();
    });
    const head = await edge.fetch(edge.host('one'), '/200', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '1234', '']);
    for (const status of [204, 304]) assert.equal((await edge.fetch(edge.host('one'), `/${status}`)).status, status);
  });

  it('tell what comes before them', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (_request, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      response.writeProcessing();
      setTimeout(() => response.end('done'), 50);
    });
    const request = open(edge, {}).end();
    const [hints] = (await once(request, 'information')) as [http.InformationEvent];
    assert.deepEqual([hints.statusCode, hints.headers.link], [103, '</style.css>; rel=preload']);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(response.statusCode, 200);
    response.resume();
    await once(response, 'end');
  });

  it('stream as they come, head first', async () => {
    await using edge = await EdgeFixture.open();
    const next = new EventTarget();
    await edge.sprite('one', (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      next.addEventListener('event', () => response.write('data: tick\n\n'));
      next.addEventListener('end', () => response.end());
    });
    const request = open(edge, {}).end();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    for (let tick = 0; tick < 3; tick++) {
      next.dispatchEvent(new Event('event'));
      const [chunk] = (await once(response, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'data: tick\n\n');
    }
    next.dispatchEvent(new Event('end'));
    await once(response, 'end');
  });

  it('are taken no faster than the client reads, and bytes both ways keep the sprite awake', async () => {
    await using edge = await EdgeFixture.open();
    let written = 0;
    const sprite = await edge.sprite('one', (_request, response) => {
      const chunk = Buffer.alloc(65_536);
      const write = (): void => {
        while (written < 200e6 && response.write(chunk)) written += chunk.length;
      };
      response.on('drain', write);
      write();
    });
    const request = open(edge, {}).end();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.pause();
    await sleep(500);
    const stalled = written;
    await sleep(300);
    assert.equal(written, stalled, 'nobody reads, so nothing more comes');
    assert.ok(stalled < 20e6, String(stalled));
    const used = sprite.used;
    response.resume();
    await sleep(200);
    assert.ok(sprite.used > used, 'what flows counts as use');
    request.destroy();
  });

  it('of a gigabyte in all pass in constant memory', async () => {
    await using edge = await EdgeFixture.open();
    const size = 500_000_000;
    const block = Buffer.alloc(1_000_000, 'x');
    await edge.sprite('one', (request, response) => {
      if (request.method === 'GET') {
        let sent = 0;
        const write = (): void => {
          while (sent < size) {
            sent += block.length;
            if (!response.write(block)) return void response.once('drain', write);
          }
          response.end();
        };
        response.writeHead(200, { 'content-length': String(size) });
        return write();
      }
      let received = 0;
      request.on('data', (chunk: Buffer) => (received += chunk.length));
      request.on('end', () => response.end(String(received)));
    });
    let most = 0;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50);
    const before = process.memoryUsage().rss;
    const get = open(edge, {}).end();
    const [down] = (await once(get, 'response')) as [http.IncomingMessage];
    let received = 0;
    down.on('data', (chunk: Buffer) => (received += chunk.length));
    await once(down, 'end');
    assert.equal(received, size);
    const post = open(edge, { method: 'POST', headers: { 'content-length': String(size) } });
    for (let sent = 0; sent < size; sent += block.length) if (!post.write(block)) await once(post, 'drain');
    post.end();
    const [answer] = (await once(post, 'response')) as [http.IncomingMessage];
    assert.equal((await answer.setEncoding('utf8').toArray()).join(''), String(size));
    clearInterval(look);
    assert.ok(most - before < 200e6, `grew by ${Math.round((most - before) / 1e6)} MB`);
  });
});

describe('WebSockets', () => {
  it('pass both ways, with their protocol, and end on both sides', async () => {
    await using edge = await EdgeFixture.open();
    const server = http.createServer();
    const sockets = new WebSocketServer({ server, handleProtocols: () => 'chat' });
    sockets.on('connection', (socket, request) => {
      socket.on('message', (data, isBinary) =>
        socket.send(isBinary ? data : `${request.url} ${(data as Buffer).toString()}`),
      );
    });
    const sprite = await edge.sprite('one', () => {});
    sprite.ports.set(8080, await edge.listen(server));
    const socket = new WebSocket(`ws://127.0.0.1:${edge.port}/ws?a`, ['chat'], { headers: { host: edge.host('one') } });
    await once(socket, 'open');
    assert.equal(socket.protocol, 'chat');
    socket.send('hello');
    const [text] = (await once(socket, 'message')) as [Buffer];
    assert.equal(text.toString(), '/ws?a hello');
    const big = Buffer.alloc(2_000_000, 7);
    socket.send(big);
    const [echo] = (await once(socket, 'message')) as [Buffer];
    assert.ok(big.equals(echo));
    const used = sprite.used;
    await sleep(600);
    assert.equal(sprite.used, used, 'a silent one does not keep the sprite awake');
    sprite.sleep();
    const [code] = (await once(socket, 'close')) as [number];
    assert.equal(code, 1006, 'the sleep of its sprite breaks it');
    sockets.close();
  });

  it('that the sprite refuses get its answer; other upgrades are ordinary requests', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (request, response) => {
      response.statusCode = 403;
      response.end(`no: ${request.headers.upgrade ?? 'nothing'}`);
    });
    const handshake = (protocol: string): string =>
      `GET / HTTP/1.1\r\nHost: ${edge.host('one')}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Key: x\r\n\r\n`;
    assert.match(await raw(edge.port, handshake('websocket')), /^HTTP\/1\.1 403 Forbidden\r\n[^]*no: websocket$/);
    assert.match(await raw(edge.port, handshake('h2c')), /^HTTP\/1\.1 403 Forbidden\r\n[^]*no: nothing$/);
    assert.match(
      await raw(edge.port, handshake('websocket').replace(edge.host('one'), edge.host('none'))),
      /^HTTP\/1\.1 401 /,
    );
  });
});

describe('ports', () => {
  it('are chosen: the service’s, else 8080, else the first that speaks HTTP', async () => {
    await using edge = await EdgeFixture.open({ limits: { probeTimeoutMs: 300 } });
    const sprite = await edge.sprite('one', (_request, response) => response.end('9000'), { port: 9000 });
    const silent = await edge.serve(() => {});
    sprite.ports.set(7000, silent);
    assert.equal((await edge.fetch(edge.host('one'))).body, '9000', 'one that is silent is not it');
    assert.equal((await edge.fetch(edge.host('one', 9000))).body, '9000');
    sprite.ports.set(8080, await edge.serve((_request, response) => response.end('8080')));
    sprite.sleep();
    assert.equal((await edge.fetch(edge.host('one'))).body, '9000', 'what it was is tried first');
    sprite.ports.delete(9000);
    sprite.sleep();
    assert.equal((await edge.fetch(edge.host('one'))).body, '8080', 'and searched for again where it fails');
    sprite.services = [
      {
        name: 'web',
        cmd: 'x',
        args: [],
        env: {},
        needs: [],
        http_port: 3000,
        state: { name: 'web', status: 'stopped', restart_count: 0 },
      },
    ];
    sprite.onServiceStart = () =>
      void setTimeout(
        () =>
          void edge.serve((_request, response) => response.end('3000')).then((port) => sprite.ports.set(3000, port)),
        200,
      );
    assert.equal((await edge.fetch(edge.host('one', 3000))).body, '3000', 'a service that is asked for is started');
    sprite.ports.delete(8080);
    sprite.sleep();
    assert.equal((await edge.fetch(edge.host('one'))).body, '3000');
  });

  it('where nothing listens are told, for people and for programs', async () => {
    await using edge = await EdgeFixture.open({ limits: { serviceTimeoutMs: 300 } });
    const sprite = await edge.sprite('one', () => {});
    sprite.ports.clear();
    const answer = await edge.fetch(edge.host('one'));
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [502, 'no_http_server']);
    const page = await edge.fetch(edge.host('one'), '/', { headers: { accept: 'text/html' } });
    assert.match(page.body, /<h1>The sprite did not answer<\/h1>.*port 8080/);
    assert.equal((await edge.fetch(edge.host('one', 5000))).status, 502);
    sprite.services = [
      {
        name: 'web',
        cmd: 'x',
        args: [],
        env: {},
        needs: [],
        http_port: 3000,
        state: { name: 'web', status: 'failed', restart_count: 9, error: 'ended with <b>3</b>' },
      },
    ];
    const failed = await edge.fetch(edge.host('one'), '/', { headers: { accept: 'text/html' } });
    assert.match(failed.body, /service web is failed.*ended with &#60;b&#62;3/);
  });
});
