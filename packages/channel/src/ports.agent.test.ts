import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import { type GuestChannel, GuestDialError } from '@sylph/engine';
import { ControlAndDataChannels } from './factory.ts';
import { RealAgent } from './testing/real-agent.ts';

const signal = AbortSignal.timeout(60_000);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let agent: RealAgent;
before(async () => {
  agent = await RealAgent.start();
});
after(() => agent[Symbol.asyncDispose]());

async function connect(): Promise<GuestChannel> {
  const channel = await new ControlAndDataChannels().connect(agent.sockets, { deadlineMs: 10_000, signal });
  await channel.open({ deadlineMs: 10_000 });
  return channel;
}

/** Resolves when a stream is over, however. */
function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => stream.once('close', () => resolve()));
}

/** A TCP service in the guest's network, which is this machine's. */
async function serve(
  handle: (socket: net.Socket) => void,
): Promise<{ port: number; ended: Promise<string> } & AsyncDisposable> {
  const ended = Promise.withResolvers<string>();
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? 'error'));
    socket.on('end', () => ended.resolve('end'));
    handle(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    ended: ended.promise,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a connection carries bytes both ways, and the end of input before the answer', async () => {
  await using channel = await connect();
  const answer = randomBytes(8_000_000);
  await using service = await serve((socket) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => {
      socket.write(hash.digest());
      socket.end(answer);
    });
  });
  const { stream, target } = await channel.dial({ host: 'localhost', port: service.port }, { signal });
  assert.equal(target, `127.0.0.1:${service.port}`);
  const input = randomBytes(8_000_000);
  stream.end(input);
  const got: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) got.push(chunk);
  const all = Buffer.concat(got);
  assert.equal(all.subarray(0, 32).toString('hex'), sha256(input));
  assert.equal(sha256(all.subarray(32)), sha256(answer));
});

test('a slow reader holds the service back, and others not', async () => {
  await using channel = await connect();
  let written = 0;
  await using service = await serve((socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536))) written += 65_536;
      socket.once('drain', more);
    };
    more();
  });
  const slow = await Promise.all(
    Array.from({ length: 20 }, () => channel.dial({ host: '127.0.0.1', port: service.port }, { signal })),
  );
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  // Socket buffers of both sides besides what the stream may hold.
  assert.ok(written < 20 * 16_000_000, `${written} bytes`);
  await channel.ping({ deadlineMs: 5_000 });
  for (const { stream } of slow) stream.destroy();
});

test('no connection has a reason', async () => {
  await using channel = await connect();
  const { port } = await serve(() => {}).then(async (service) => {
    await service[Symbol.asyncDispose]();
    return service;
  });
  const refused = (errno: string) => (error: unknown) => error instanceof GuestDialError && error.errno === errno;
  await assert.rejects(channel.dial({ host: '127.0.0.1', port }, { signal }), refused('ECONNREFUSED'));
  const abort = new AbortController();
  abort.abort(new Error('changed my mind'));
  await assert.rejects(channel.dial({ host: '127.0.0.1', port }, { signal: abort.signal }), /changed my mind/);
});

test('what breaks a connection reaches the other side as a break', async () => {
  await using channel = await connect();
  await using service = await serve((socket) => {
    socket.write('hello');
    socket.on('data', () => socket.resetAndDestroy());
  });
  const broken = await channel.dial({ host: '127.0.0.1', port: service.port }, { signal });
  broken.stream.write('x');
  broken.stream.resume();
  await closed(broken.stream);
  assert.deepEqual([broken.stream.readableEnded, broken.reset], [false, true]);

  await using quiet = await serve((socket) => void socket.write('hello'));
  const left = await channel.dial({ host: '127.0.0.1', port: quiet.port }, { signal });
  await once(left.stream, 'readable');
  left.stream.destroy();
  assert.equal(await quiet.ended, 'ECONNRESET');
});

test('a channel that closes ends its connections', async () => {
  const channel = await connect();
  await using service = await serve((socket) => void socket.write('hello'));
  const connection = await channel.dial({ host: '127.0.0.1', port: service.port }, { signal });
  const { stream } = connection;
  stream.resume();
  const over = closed(stream);
  await channel.close();
  await over;
  assert.deepEqual([stream.readableEnded, connection.reset], [false, false]);
});
