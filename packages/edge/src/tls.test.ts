import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { CertificateFiles, type TlsFiles } from './certificate.ts';
import { startRedirect } from './listen.ts';
import { domain, EdgeFixture } from './testing/fixture.ts';
import { raw } from './testing/raw.ts';

const run = promisify(execFile);

/** A certificate of its own for all sprites. */
async function selfSigned(dir: string, name = 'one'): Promise<TlsFiles> {
  const files = { cert: path.join(dir, `${name}.crt`), key: path.join(dir, `${name}.key`) };
  await run('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-addext',
    `subjectAltName=DNS:*.${domain}`,
    '-keyout',
    files.key,
    '-out',
    files.cert,
  ]);
  return files;
}

/** A connection of HTTP/2 to the edge, as to the host. */
async function http2Session(edge: EdgeFixture, name = 'one'): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`https://${edge.host(name)}`, {
    createConnection: () =>
      tls.connect({
        port: edge.port,
        host: '127.0.0.1',
        servername: edge.host(name).replace(/:.*/, ''),
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
      }),
  });
  await once(session, 'remoteSettings');
  return session;
}

/** A request over HTTP/2 and its answer. */
async function fetch2(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string,
): Promise<{ headers: http2.IncomingHttpHeaders; body: string; trailers: http2.IncomingHttpHeaders }> {
  const stream = session.request(headers, { endStream: body === undefined });
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on('trailers', (got) => (trailers = got));
  if (body !== undefined) stream.end(body);
  const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { headers: answer, body: (await stream.setEncoding('utf8').toArray()).join(''), trailers };
}

describe('TLS', () => {
  it('serves HTTP/1.1 and HTTP/2, by curl and by hand, and asks browsers to stay with it', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    await edge.sprite('one', (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () =>
        response.end(
          `${String(request.headers['x-forwarded-proto'])} ${request.headers.via ?? ''} ${request.headers['transfer-encoding'] ?? ''} ${body}`,
        ),
      );
    });
    const host = edge.host('one');
    for (const [option, version] of [
      ['--http1.1', '1.1'],
      ['--http2', '2.0'],
    ] as const) {
      const { stdout } = await run('curl', [
        '-sSik',
        option,
        '--resolve',
        `${host}:127.0.0.1`,
        '-d',
        'body',
        `https://${host}/`,
      ]);
      assert.match(stdout, /strict-transport-security: max-age=31536000/i);
      assert.ok(stdout.endsWith(`https ${version} sylph  body`), stdout);
    }
    const session = await http2Session(edge);
    assert.equal(
      (await fetch2(session, { ':method': 'POST', ':path': '/' }, 'open')).body,
      'https 2.0 sylph chunked open',
    );
    session.destroy();
  });

  it('keeps sprites apart within one connection of HTTP/2', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    await edge.sprite('one', (_request, response) => response.end('one'));
    await edge.sprite('two', (_request, response) => response.end('two'), { auth: 'sprite' });
    const session = await http2Session(edge);
    const at = (authority: string, more = {}): Promise<{ headers: http2.IncomingHttpHeaders; body: string }> =>
      fetch2(session, { ':path': '/', ':authority': authority, ...more });
    assert.equal((await at(edge.host('one'))).body, 'one');
    assert.equal((await at(edge.host('two'))).headers[':status'], 401);
    assert.equal((await at(edge.host('one'), { host: edge.host('two') })).headers[':status'], 400, 'two names');
    assert.equal(
      (await at(edge.host('one'), { 'transfer-encoding': 'chunked' }).catch(() => ({ headers: { ':status': 400 } })))
        .headers[':status'],
      400,
    );
    session.destroy();
  });

  it('carries many streams, trailers, early hints and broken answers over HTTP/2', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    await edge.sprite('one', (request, response) => {
      if (request.url === '/trailers') {
        response.write('body');
        response.addTrailers({ 'X-Sum': '42' });
        response.end();
      } else if (request.url === '/broken') {
        response.write('part', () => response.destroy());
      } else response.end(request.url);
    });
    const session = await http2Session(edge);
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, index) => fetch2(session, { ':path': `/${index}` })),
    );
    assert.deepEqual(
      many.map(({ body }) => body),
      many.map((_, index) => `/${index}`),
    );
    const { body, trailers } = await fetch2(session, { ':path': '/trailers' });
    assert.deepEqual([body, trailers['x-sum']], ['body', '42']);
    await assert.rejects(fetch2(session, { ':path': '/broken' }), /INTERNAL_ERROR/);
    assert.equal((await fetch2(session, { ':path': '/after' })).body, '/after', 'others go on');
    session.destroy();
  });

  it('carries WebSockets over HTTP/2', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    const server = http.createServer((_request, response) => response.writeHead(403).end('no'));
    const seen: http.IncomingHttpHeaders[] = [];
    server.on('upgrade', (request: http.IncomingMessage, socket) => {
      seen.push(request.headers);
      if (request.url !== '/ws') return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nX-More: y\r\n\r\n',
      );
      return socket.pipe(socket);
    });
    const sprite = await edge.sprite('one', () => {});
    sprite.ports.set(8080, await edge.listen(server));
    const session = await http2Session(edge);
    const open = (at: string): http2.ClientHttp2Stream =>
      session.request(
        {
          ':method': 'CONNECT',
          ':protocol': 'websocket',
          ':scheme': 'https',
          ':path': at,
          ':authority': edge.host('one'),
          'sec-websocket-version': '13',
        },
        { endStream: false },
      );
    const stream = open('/ws');
    const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    assert.deepEqual([answer[':status'], answer['x-more'], answer['sec-websocket-accept']], [200, 'y', undefined]);
    assert.match(String(seen[0]?.['sec-websocket-key']), /^[\w+/]{22}==$/);
    stream.write('hello');
    const [echo] = (await once(stream, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'hello');
    stream.end();
    await once(stream, 'close');
    const refused = open('/other');
    const [no] = (await once(refused, 'response')) as [http2.IncomingHttpHeaders];
    assert.deepEqual([no[':status'], (await refused.setEncoding('utf8').toArray()).join('')], [403, 'no']);
    const tunnel = session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' });
    const [not] = (await once(tunnel, 'response')) as [http2.IncomingHttpHeaders];
    assert.equal(not[':status'], 405);
    session.destroy();
  });

  it('sets cookies that other hosts of the domain cannot set', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    const sprite = await edge.sprite('one', (_request, response) => response.end('in'), { auth: 'sprite' });
    const link = await edge.link(sprite);
    const session = await http2Session(edge);
    const opened = await fetch2(session, { ':path': link.path });
    const [cookie = ''] = opened.headers['set-cookie'] ?? [];
    assert.match(cookie, /^__Host-sylph-edge=.*; Path=\/; HttpOnly; SameSite=Lax; .*; Secure$/);
    const pair = cookie.split(';', 1)[0] as string;
    assert.equal((await fetch2(session, { ':path': '/', cookie: pair })).body, 'in');
    assert.equal(
      (await fetch2(session, { ':path': '/', cookie: pair.replace('__Host-', '') })).headers[':status'],
      401,
    );
    session.destroy();
  });

  it('cuts off clients that are slow within it', async () => {
    const limits = { headersTimeoutMs: 500 };
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir), limits });
    const socket = tls.connect({ port: edge.port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.on('error', () => {});
    socket.resume();
    const closed = new Promise((resolve) => socket.once('close', () => resolve(true)));
    socket.write('GET / HTTP/1.1\r\nHo');
    assert.equal(await Promise.race([closed, sleep(5_000)]), true);
  });

  it('answers clients that speak no TLS, or break it off, with nothing, and goes on', async () => {
    await using edge = await EdgeFixture.open({ tls: (dir) => selfSigned(dir) });
    await edge.sprite('one', (_request, response) => response.end('ok'));
    assert.doesNotMatch(await raw(edge.port, `GET / HTTP/1.1\r\nHost: ${edge.host('one')}\r\n\r\n`), /^HTTP/);
    assert.equal(await raw(edge.port, '\x16\x03\x01\x02\x00\x01\x00', { end: true }), '');
    const session = await http2Session(edge);
    assert.equal((await fetch2(session, { ':path': '/' })).body, 'ok');
    session.destroy();
  });
});

describe('a certificate', () => {
  it('is read again when it changes; one that does not fit leaves the old one', async () => {
    await using edge = await EdgeFixture.open();
    const one = await selfSigned(edge.dir, 'one');
    const two = await selfSigned(edge.dir, 'two');
    const files = { cert: path.join(edge.dir, 'cert.pem'), key: path.join(edge.dir, 'key.pem') };
    const put = async (cert: string, key: string): Promise<void> => {
      await copyFile(key, files.key);
      await copyFile(cert, files.cert);
    };
    await put(one.cert, one.key);
    const warned: string[] = [];
    const log = {
      debug: () => {},
      info: () => {},
      error: () => {},
      child: () => log,
      warn: (_fields: object, text: string) => void warned.push(text),
    };
    using certificate = await CertificateFiles.open(files, log, 20);
    const changes: string[] = [];
    certificate.onChange = ({ cert }) => changes.push(cert);
    const first = certificate.current.cert;
    await put(two.cert, one.key);
    await sleep(200);
    assert.deepEqual([changes.length, certificate.current.cert, warned.length], [0, first, 1], 'told once');
    await writeFile(files.cert, 'no certificate');
    await sleep(200);
    assert.equal(certificate.current.cert, first);
    await put(two.cert, two.key);
    await sleep(200);
    assert.equal(changes.length, 1);
    assert.notEqual(certificate.current.cert, first);
    await assert.rejects(CertificateFiles.open({ cert: one.cert, key: two.key }, log), /the key is not the one/);
  });
});

describe('plain HTTP', () => {
  it('is sent on to HTTPS, on the host that was asked for', async () => {
    const redirect = await startRedirect({ host: '127.0.0.1', port: 0 }, () => 7780);
    const { port } = redirect.address;
    const location = async (text: string): Promise<string> =>
      /(HTTP\/1\.1 \d+)|location: (.*)\r/i
        .exec((await raw(port, `${text}Connection: close\r\n\r\n`)).replace(/^HTTP\/1\.1 308.*\r\n/, ''))
        ?.slice(1)
        .join('') ?? '';
    assert.equal(
      await location('GET /a?b HTTP/1.1\r\nHost: One-abc.sprites.localhost:80\r\n'),
      'https://one-abc.sprites.localhost:7780/a?b',
    );
    assert.equal(
      await location('GET //evil.example HTTP/1.1\r\nHost: one-abc.sprites.localhost\r\n'),
      'https://one-abc.sprites.localhost:7780//evil.example',
    );
    assert.equal(await location('GET / HTTP/1.1\r\nHost: a b\r\n'), 'HTTP/1.1 400');
    await redirect.close();
  });
});

describe('whether a name is ours', () => {
  it('is told programs of this host that ask by address, and nobody else', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', () => {}, { auth: 'sprite' });
    await edge.domain(sprite, 'app.example.com');
    const ask = async (name: string, headers = {}, host = `127.0.0.1:${edge.port}`): Promise<number> =>
      (await edge.fetch(host, `/.sylph/tls-ask?domain=${encodeURIComponent(name)}`, { headers })).status;
    const own = edge.host('one').split(':')[0] as string;
    for (const name of [own, own.toUpperCase(), `3000--${own}`, 'app.example.com', `login.${domain}`])
      assert.equal(await ask(name), 200, name);
    for (const name of [
      '',
      'example.com',
      domain,
      `none-${edge.org.urlSuffix}.${domain}`,
      `x.${own}`,
      '127.0.0.1',
      `${own}:80`,
      `${own}/x`,
    ])
      assert.equal(await ask(name), 404, name);
    assert.equal(await ask(own, { 'x-forwarded-for': '192.0.2.1' }), 404, 'what a proxy passes on');
    assert.equal(await ask(own, {}, edge.host('one')), 404, 'a host by name');
    assert.equal(sprite.wakes, 0);
  });
});
