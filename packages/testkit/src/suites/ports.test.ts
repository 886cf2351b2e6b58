// Ports of a real guest: through the unmodified npm SDK, our client, and the raw wire.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { proxyPort } from '@fly/sprites';
import { SylphClient } from '@sylph/client';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';
import { until } from '../shell.ts';

checkLeaks(() => daemon[Symbol.asyncDispose]());

const transferBytes = 32 * 1024 * 1024;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Takes so many bytes, answers with their hash, then sends as many zeros and the end. */
const swap = `import socket,hashlib
n=${transferBytes}
l=socket.create_server(('127.0.0.1',7000)); print('listening',flush=True)
while True:
  c,_=l.accept(); h=hashlib.sha256(); left=n
  while left>0:
    b=c.recv(65536)
    if not b: break
    h.update(b); left-=len(b)
  c.sendall(h.digest()); c.sendall(bytes(n)); c.close()`;

/** A client that vanishes resets its connection: that ends one, not the service. */
const banner = `import socket
l=socket.create_server(('0.0.0.0',7001)); print('listening',flush=True)
while True:
  c,_=l.accept()
  try:
    c.sendall(b'banner'); c.recv(1)
  except OSError: pass
  c.close()`;

/** Sends back what comes until it ends, then ends. */
const echo = `import socket
l=socket.create_server(("127.0.0.1",7002))
while True:
  c,_=l.accept()
  try:
    while b:=c.recv(100): c.sendall(b)
  except OSError: pass
  c.close()`;

let daemon: TestDaemon;
let api: Api;
let client: SylphClient;
before(async () => {
  daemon = await TestDaemon.start();
  api = new Api(daemon);
  client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  await api.create('x');
});

test('the ports of a session are told on its socket and in the watch, with their process', async () => {
  const messages: Record<string, unknown>[] = [];
  const server = api.sprite('x').createSession('python3', ['-m', 'http.server', '8000']);
  server.on('message', (message: Record<string, unknown>) => messages.push(message));
  await watch(server);
  await until('the port to be told', () => messages.some(({ type, port }) => type === 'port_opened' && port === 8000));
  const pid = Number(await api.text('x', 'pgrep -f "[h]ttp.server" | head -1'));
  assert.equal(messages.find(({ type }) => type === 'port_opened')?.['pid'], pid);
  for await (const change of client.watchPorts('x')) {
    assert.ok(change.type === 'port_list');
    assert.deepEqual(
      change.ports.filter(({ port }) => port === 8000),
      [{ type: 'port_opened', port: 8000, address: '127.0.0.1', pid }],
    );
    break;
  }
  const local = await proxyPort(api.sdk, 'x', 0, 8000);
  const page = await fetch(`http://${local.localAddr() ?? ''}/`);
  assert.equal(page.status, 200);
  local.close();
  server.kill('SIGKILL');
});

test('32 MB go in and out unchanged', async () => {
  const service = await watch(api.sprite('x').createSession('python3', ['-c', swap]));
  await service.sees('listening');
  const input = randomBytes(transferBytes);
  const connection = await client.dial('x', { port: 7000 });
  const sending = connection.write(input);
  const output = Buffer.concat(await Array.fromAsync(connection.input));
  await sending;
  assert.equal(output.subarray(0, 32).toString('hex'), sha256(input));
  assert.equal(sha256(output.subarray(32)), sha256(Buffer.alloc(transferBytes)));
  service.command.kill('SIGKILL');
});

test('no banner is lost, and a suspend ends an open connection with its reason', async () => {
  const service = await watch(api.sprite('x').createSession('python3', ['-c', banner]));
  await service.sees('listening');
  const local = await proxyPort(api.sdk, 'x', 0, 7001);
  const port = Number((local.localAddr() ?? '').split(':').at(-1));
  for (let round = 0; round < 20; round++) {
    const socket = connect(port, 'localhost');
    const [data] = (await once(socket, 'data')) as [Buffer];
    assert.equal(data.toString(), 'banner');
    socket.destroy();
  }
  local.close();
  const connection = await client.dial('x', { port: 7001 });
  await api.ok('POST', '/v1/sprites/x/suspend');
  await assert.rejects(Array.fromAsync(connection.input), {
    code: 'connection_lost',
    message: /1012.*put to sleep.*connect again/,
  });
  // The service sleeps and wakes with the sprite.
  const again = await client.dial('x', { port: 7001 });
  for await (const bytes of again.input) {
    assert.equal(Buffer.from(bytes).toString(), 'banner');
    break;
  }
  await again[Symbol.asyncDispose]();
  service.command.kill('SIGKILL');
});

test('a connection keeps its sprite awake while bytes flow, and is closed with the reason when it falls asleep', async () => {
  await api.create('idle', { idle_timeout_s: 3 });
  // Neither a client nor a job holds the sprite awake.
  await api.text('idle', `setsid python3 -c '${echo}' >/dev/null 2>&1 </dev/null &`);
  const connection = await until('the service to listen', () =>
    client.dial('idle', { port: 7002 }).catch(() => undefined),
  );
  const heard = connection.input[Symbol.asyncIterator]();
  for (let second = 0; second < 8; second++) {
    await connection.write(Buffer.from('x'));
    assert.equal((await heard.next()).done, false);
    await sleep(1_000);
  }
  const silentAt = performance.now();
  await assert.rejects(heard.next(), { code: 'connection_lost', message: /1012.*put to sleep.*connect again/ });
  assert.ok(performance.now() - silentAt > 1_000);
  await until('the sprite to sleep', async () => (await client.sprites.get('idle')).status === 'warm');
  // The next connection wakes it, and the service has slept with it.
  const again = await client.dial('idle', { port: 7002 });
  await again.write(Buffer.from('y'));
  await again.endInput();
  assert.equal(Buffer.concat(await Array.fromAsync(again.input)).toString(), 'y');
});

test('a port nobody listens on says so', async () => {
  await assert.rejects(client.dial('x', { port: 7999 }), { code: 'port_unreachable', message: /refused/ });
});
