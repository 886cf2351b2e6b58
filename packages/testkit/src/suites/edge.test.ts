import assert from 'node:assert/strict';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SylphClient } from '@sylph/client';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { until } from '../shell.ts';

checkLeaks();

const port = 8000;
/** Answers its path; `/slow` after 4 s; what asks for a WebSocket gets its bytes back. */
const server = `
import socket, threading, time
def serve(c):
    data = b''
    while True:
        while b'\\r\\n\\r\\n' not in data:
            more = c.recv(65536)
            if not more: return c.close()
            data += more
        head, data = data.split(b'\\r\\n\\r\\n', 1)
        if b'upgrade: websocket' in head.lower():
            c.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n' + data)
            while True:
                more = c.recv(65536)
                if not more: return c.close()
                c.sendall(more)
        path = head.split(b' ')[1]
        if path == b'/slow': time.sleep(4)
        c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(path), path))
s = socket.create_server(('127.0.0.1', ${port}))
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`;

const waitMs = 60_000;

/** A request to a sprite's URL at the daemon's edge: names below localhost are not known to every resolver. */
function get(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<http.IncomingMessage & { body: string }> {
  const { host, port: edgePort } = new URL(url);
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(waitMs);
    http
      .get({ host: '127.0.0.1', port: edgePort, path, headers: { host, ...headers }, signal }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => resolve(Object.assign(response, { body })));
        response.on('error', reject);
      })
      .on('error', reject);
  });
}

/** A WebSocket's connection after its handshake. */
function upgrade(url: string, path: string): Promise<Duplex> {
  const { host, port: edgePort } = new URL(url);
  const headers = {
    host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'sec-websocket-version': '13',
  };
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port: edgePort, path, headers, signal: AbortSignal.timeout(waitMs) })
      .on('upgrade', (_response, socket) => resolve(socket))
      .on('response', (response) => reject(new Error(`no upgrade: ${response.statusCode}`)))
      .on('error', reject);
  });
}

test('a request wakes its sprite, starts its service, and keeps it awake while it works and while bytes flow', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'edge-listen': '127.0.0.1:0' } });
  const api = new Api(daemon);
  const client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  const { url } = await api.create('box', { url_settings: { auth: 'public' } });
  const statusOf = async (): Promise<string> => (await api.ok('GET', '/v1/sprites/box')).status;

  const nothing = await get(url, '/');
  assert.deepEqual([nothing.statusCode, JSON.parse(nothing.body).code], [502, 'no_http_server']);
  assert.equal(await statusOf(), 'running', 'a request starts a sprite that never ran');
  const put = client.services.put(
    'box',
    'web',
    { cmd: 'python3', args: ['-c', server], httpPort: port },
    { windowMs: 0 },
  );
  for await (const _event of put);
  assert.equal((await get(url, '/first')).body, '/first', 'it waits for a service that starts');

  await api.ok('POST', '/v1/sprites/box/suspend');
  assert.equal(await statusOf(), 'warm');
  const held = await Promise.all(Array.from({ length: 5 }, (_, index) => get(url, `/held/${index}`)));
  assert.deepEqual(
    held.map(({ body }) => body),
    held.map((_, index) => `/held/${index}`),
    'requests are held while it wakes',
  );
  for await (const _event of client.services.stop('box', 'web'));
  assert.equal((await get(url, '/started')).body, '/started', 'a stopped service is started');
  assert.equal((await client.services.get('box', 'web')).state.status, 'running');
  assert.equal((await get(url.replace('//', `//${port}--`), '/port')).body, '/port');

  await api.ok('PUT', '/v1/sprites/box', { idle_timeout_s: 2 });
  assert.equal((await get(url, '/slow')).body, '/slow', 'a request that is worked on keeps it awake');
  const socket = await upgrade(url, '/socket');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {}); // its end is what is looked at
  let echoed = '';
  socket.on('data', (bytes: Buffer) => (echoed += bytes.toString()));
  for (let tick = 0; tick < 8; tick++) {
    socket.write('x');
    await sleep(500);
  }
  await until('the echo', () => echoed === 'x'.repeat(8));
  assert.equal(await statusOf(), 'running', 'bytes that flow keep it awake');
  await closed;
  await until('the sprite to sleep', async () => (await statusOf()) === 'warm');
  assert.equal((await get(url, '/again')).body, '/again', 'it wakes once more');
});

test('a private sprite is opened by a token or a link, until the link is revoked', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'edge-listen': '127.0.0.1:0' } });
  const api = new Api(daemon);
  const client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  const { url } = await api.create('box');
  const put = client.services.put(
    'box',
    'web',
    { cmd: 'python3', args: ['-c', server], httpPort: port },
    { windowMs: 0 },
  );
  for await (const _event of put);
  assert.equal((await get(url, '/')).statusCode, 401);
  assert.equal((await get(url, '/t', { authorization: `Bearer ${daemon.token}` })).body, '/t');

  const link = await client.links.create('box', { expiresInS: 600 });
  assert.ok(link.url.startsWith(`${url}/.sylph/link/`), link.url);
  const opened = await get(url, new URL(link.url).pathname);
  const [cookie = ''] = (opened.headers['set-cookie']?.[0] ?? '').split(';');
  assert.deepEqual([opened.statusCode, opened.headers.location], [303, '/']);
  assert.equal((await get(url, '/seen', { cookie })).body, '/seen');
  await client.links.revoke('box', link.id);
  assert.equal((await get(url, '/seen', { cookie })).statusCode, 401, 'revoking ends what is open');
  await using again = await daemon.restart('stop', { settings: { 'edge-listen': '127.0.0.1:0' } });
  const later = new SylphClient({ baseUrl: again.url, token: again.token });
  const second = await later.links.create('box');
  assert.equal((await get((await later.sprites.get('box')).url, new URL(second.url).pathname)).statusCode, 303);
});
