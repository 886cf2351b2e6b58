import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { SylphClient } from '../index.ts';
import { FakeServer } from '../testing/index.ts';
import { portChange } from './watch.ts';

let server: FakeServer;
let client: SylphClient;

before(async () => {
  server = await FakeServer.start();
  server.addSprite('one');
  client = new SylphClient({ baseUrl: server.url, token: server.token });
});
after(async () => {
  await server[Symbol.asyncDispose]();
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function serve(handle: (socket: Socket) => void): Promise<{ port: number } & Disposable> {
  const sockets = new Set<Socket>();
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // tests break connections
    handle(socket);
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  return {
    port: (service.address() as AddressInfo).port,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      service.close();
    },
  };
}

describe('dial', () => {
  test('carries bytes both ways to the end of the service', async () => {
    const answer = randomBytes(3_000_000);
    using service = await serve((socket) => {
      const hash = createHash('sha256');
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        bytes += chunk.length;
        if (bytes === 3_000_000) {
          socket.write(hash.digest());
          socket.end(answer);
        }
      });
    });
    const connection = await client.dial('one', { port: service.port });
    assert.equal(connection.target, `127.0.0.1:${service.port}`);
    const input = randomBytes(3_000_000);
    const sending = connection.write(input);
    const all = Buffer.concat(await Array.fromAsync(connection.input));
    await sending;
    assert.equal(all.subarray(0, 32).toString('hex'), sha256(input));
    assert.equal(sha256(all.subarray(32)), sha256(answer));
  });

  test('endInput ends one direction, where the server knows how', async () => {
    using service = await serve((socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk: Buffer) => hash.update(chunk));
      socket.on('end', () => setTimeout(() => socket.end(hash.digest()), 300));
    });
    const connection = await client.dial('one', { port: service.port });
    assert.equal(connection.halfClose, true);
    const input = randomBytes(3_000_000);
    await connection.write(input);
    await connection.endInput();
    assert.equal(Buffer.concat(await Array.fromAsync(connection.input)).toString('hex'), sha256(input));
    server.halfClose = false;
    const older = await client.dial('one', { port: service.port });
    server.halfClose = true;
    assert.equal(older.halfClose, false);
    await assert.rejects(older.endInput(), { code: 'protocol' });
    await older[Symbol.asyncDispose]();
  });

  test('end delivers everything, also to a slow service', async () => {
    const heard = Promise.withResolvers<Buffer>();
    using service = await serve((socket) => {
      const got: Buffer[] = [];
      socket.pause();
      setTimeout(() => socket.resume(), 2_500);
      socket.on('data', (chunk: Buffer) => got.push(chunk));
      socket.on('end', () => heard.resolve(Buffer.concat(got)));
    });
    const connection = await client.dial('one', { port: service.port });
    const input = randomBytes(20_000_000);
    await connection.write(input);
    await connection.end();
    assert.equal(sha256(await heard.promise), sha256(input));
  });

  test('a port nobody listens on, and a sprite nobody has', async () => {
    const { port } = await serve(() => undefined).then((service) => {
      service[Symbol.dispose]();
      return service;
    });
    await assert.rejects(client.dial('one', { port }), { code: 'port_unreachable', message: /ECONNREFUSED/ });
    await assert.rejects(client.dial('none', { port }), { code: 'sprite_not_found' });
  });

  test('a connection that breaks is not an end; a signal ends it', async () => {
    using service = await serve((socket) => void socket.on('data', () => socket.resetAndDestroy()));
    const connection = await client.dial('one', { port: service.port });
    await connection.write(Buffer.from('x'));
    await assert.rejects(Array.fromAsync(connection.input), { code: 'connection_lost' });
    const control = new AbortController();
    const other = await client.dial('one', { port: service.port }, { signal: control.signal });
    control.abort(new Error('enough'));
    await assert.rejects(Array.fromAsync(other.input), /enough/);
  });
});

describe('watchPorts', () => {
  test('yields the list and the changes, and skips what nobody knows', async () => {
    const opened = { type: 'port_opened', port: 80, address: '127.0.0.1', pid: 7 };
    const list = { type: 'port_list', ports: [opened, { nonsense: true }] };
    server.portMessages = [list, opened, { type: 'new' }, { ...opened, type: 'port_closed' }].map((each) =>
      JSON.stringify(each),
    );
    server.portMessages.push('{');
    assert.deepEqual(await Array.fromAsync(client.watchPorts('one')), [
      { ...list, ports: [opened] },
      opened,
      { ...opened, type: 'port_closed' },
    ]);
  });

  test('takes any text', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void portChange(text)));
  });
});
