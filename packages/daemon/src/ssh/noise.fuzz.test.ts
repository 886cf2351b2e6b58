import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { SshWorld } from './testing/ssh-world.ts';

/** What the library's client keeps to itself: how a packet gets out. */
interface Raw {
  _sock: net.Socket;
  _protocol: {
    _packetRW: {
      write: { allocStart: number; alloc(bytes: number): Uint8Array; finalize(packet: Uint8Array): Uint8Array };
    };
    _cipher: { encrypt(packet: Uint8Array): void };
  };
}

/** Sends a payload as a packet, whatever it is. */
function send({ _protocol: protocol }: Raw, payload: Buffer): void {
  const { write } = protocol._packetRW;
  const packet = write.alloc(payload.length);
  packet.set(payload, write.allocStart);
  protocol._cipher.encrypt(write.finalize(packet));
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const string = (text: string): Buffer => Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)]);

/** Messages of the connection protocol, 80 to 100, with fields that are right, nearly right, or nothing of the kind. */
const field = fc.oneof(
  fc.nat().map(u32),
  fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1).map(u32),
  fc
    .constantFrom(
      'session',
      'direct-tcpip',
      'direct-streamlocal@openssh.com',
      'exec',
      'shell',
      'pty-req',
      'env',
      'signal',
      'subsystem',
      'sftp',
      'window-change',
      'tcpip-forward',
      'cancel-tcpip-forward',
      'streamlocal-forward@openssh.com',
      'auth-agent-req@openssh.com',
      'keepalive@openssh.com',
      'localhost',
      '/tmp/x',
      'true',
      '',
    )
    .map(string),
  fc.string({ maxLength: 40 }).map(string),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(0, 1).map((byte) => Buffer.from([byte])),
);
const message = fc
  .tuple(
    fc.oneof(fc.integer({ min: 80, max: 100 }), fc.constantFrom(80, 90, 93, 94, 98), fc.nat(255)),
    fc.array(field, { maxLength: 6 }),
  )
  .map(([type, fields]) => Buffer.concat([Buffer.from([type]), ...fields]));

describe('noise', () => {
  let world: SshWorld;
  before(async () => {
    world = await SshWorld.open({ authTimeoutMs: 2_000 });
  });
  after(() => world[Symbol.asyncDispose]());

  test('whatever somebody sends who has not entered, the server serves others', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 3_000 }), async (greets, bytes) => {
        const socket = net.connect(world.server.port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        socket.end(Buffer.concat([Buffer.from(greets ? 'SSH-2.0-noise\r\n' : ''), bytes]));
        if (!socket.destroyed) await once(socket, 'close');
      }),
      { numRuns: 60 },
    );
    assert.equal((await world.ssh(['true'])).code, 0);
  });

  test('whatever somebody sends who has, the server serves others', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 12 }), async (messages) => {
        await using client = await world.client();
        const raw = client.client as unknown as Raw;
        for (const payload of messages) {
          if (raw._sock.destroyed || !raw._sock.writable) break;
          send(raw, payload);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }),
      { numRuns: 150 },
    );
    assert.equal((await world.ssh(['true'])).code, 0);
  });

  test('a client that sends more than its window is cut off', async () => {
    await using client = await world.client();
    const channel = (await client.exec('sleep 1000')) as unknown as { outgoing: { id: number } };
    const raw = client.client as unknown as Raw;
    const payload = Buffer.concat([Buffer.from([94]), u32(channel.outgoing.id), u32(30_000), Buffer.alloc(30_000)]);
    const closed = new Promise<void>((resolve) => raw._sock.once('close', () => resolve()));
    for (let sent = 0; sent < 100_000_000 && !raw._sock.destroyed; sent += payload.length) {
      send(raw, payload);
      if (raw._sock.writableNeedDrain) await Promise.race([once(raw._sock, 'drain'), closed]).catch(() => {});
    }
    await closed;
    assert.ok(world.log.join('').includes('more than there is room for'));
    assert.equal((await world.ssh(['true'])).code, 0);
  });
});
