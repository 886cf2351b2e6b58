import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { type ApiFixture, eventually, type TestSocket } from './testing/fixture.ts';
import { heldDuring } from './testing/memory.ts';

const mebibyte = 1024 * 1024;
/** What all buffers on the way of one flood may hold, in the daemon and in the client of this test. */
const bound = 24 * mebibyte;
const exec = '/v1/sprites/one/exec';

const opcode = { text: 0x81, binary: 0x82, ping: 0x89 };

/** A whole message of a client (RFC 6455, section 5.2), masked with zeros. */
function frameOf(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  const size = length < 126 ? Buffer.from([0x80 | length]) : Buffer.alloc(9);
  if (length >= 126) {
    size[0] = 0x80 | 127;
    size.writeBigUInt64BE(BigInt(length), 1);
  }
  return Buffer.concat([Buffer.from([first]), size, Buffer.alloc(4), payload]);
}

/** Floods, over real processes: memory stays bounded, the sprite stays usable, others feel nothing. */
describe('a flood', () => {
  let api: ApiFixture<AgentService>;

  useAgentApi(
    async (opened) => {
      api = opened;
      await api.sprite();
      // What the first use of everything loads is no part of a flood.
      await assertOthersAnswer();
    },
    { limits: { closeTimeoutMs: 200 } },
  );

  /** Another session and another socket go on. */
  async function assertOthersAnswer(): Promise<void> {
    const { status, lines } = await api.lines('POST', `${exec}?cmd=echo&cmd=alive`, {
      headers: { accept: 'application/x-ndjson' },
    });
    assert.equal(status, 200);
    assert.deepEqual(lines.at(-1)?.exit_code, 0);
    const socket = api.socket(`${exec}?cmd=echo&cmd=alive`);
    await socket.closed;
    assert.ok(socket.brief.includes('1:alive\n'), String(socket.brief));
  }

  /** Sends until the server has taken nothing for a while, or up to `most` bytes. Returns how much was sent. Frames go out in batches: the library would hold more for each than the server does. */
  async function sendUntilHeldBack({ raw }: TestSocket, frame: Buffer, most: number): Promise<number> {
    const connection = (raw as unknown as { _socket: net.Socket })._socket;
    const batch = Buffer.concat(Array.from({ length: Math.ceil((64 * 1024) / frame.length) }, () => frame));
    let sent = 0;
    for (let movedAt = performance.now(); performance.now() - movedAt < 700 && sent < most && !connection.destroyed;) {
      if (connection.writableLength > mebibyte) {
        await sleep(10);
        continue;
      }
      connection.write(batch);
      sent += batch.length;
      movedAt = performance.now();
      await sleep(0);
    }
    return sent;
  }

  async function end(socket: TestSocket, id: string): Promise<void> {
    socket.raw.terminate();
    await api.request('POST', `${exec}/${id}/kill?signal=KILL&timeout=5s`).then((answer) => answer.text());
    await eventually(() => api.service.leases === 0);
  }

  const started = async (query: string): Promise<{ socket: TestSocket; id: string }> => {
    const socket = api.socket(`${exec}?${query}`);
    const [info] = await socket.until((messages) => messages.length > 0);
    return { socket, id: String((info as Record<string, unknown>)['session_id']) };
  };

  it('of output that no client reads blocks the process', async () => {
    const { socket, id } = await started('cmd=yes');
    const held = await heldDuring(async () => {
      socket.raw.pause();
      socket.messages.length = 0;
      await sleep(1_500);
      await assertOthersAnswer();
    });
    assert.ok(held < bound, `${held} bytes`);
    await end(socket, id);
  });

  it('of output that is read, and of nobody else, is held by no one', async () => {
    const { socket, id } = await started('cmd=yes');
    let received = 0;
    socket.raw.removeAllListeners('message');
    socket.raw.on('message', (data: Buffer) => (received += data.length));
    const held = await heldDuring(async () => {
      await eventually(() => received > 30 * mebibyte);
      await assertOthersAnswer();
    });
    assert.ok(held < bound, `${held} bytes`);
    await end(socket, id);
  });

  it('of input that the process does not take is stopped', async () => {
    const { socket, id } = await started('cmd=sleep&cmd=60&stdin=true');
    let sent = 0;
    const held = await heldDuring(async () => {
      sent = await sendUntilHeldBack(socket, frameOf(opcode.binary, Buffer.alloc(64 * 1024)), 100 * mebibyte);
      await assertOthersAnswer();
    });
    assert.ok(sent < 40 * mebibyte, `${sent} bytes were taken`);
    assert.ok(held < bound, `${held} bytes`);
    await end(socket, id);
  });

  it('of messages whose answers nobody reads is stopped, or ends the client', async () => {
    for (const message of ['{"type":"resize","cols":0,"rows":0}', '{"type":"signal","signal":"CONT"}']) {
      const { socket, id } = await started('cmd=sleep&cmd=60&tty=true');
      socket.raw.pause();
      const held = await heldDuring(async () => {
        await sendUntilHeldBack(socket, frameOf(opcode.text, Buffer.from(message)), 8 * mebibyte);
        await assertOthersAnswer();
      });
      assert.ok(held < bound, `${message}: ${held} bytes`);
      await end(socket, id);
    }
  });

  it('of pings whose answers nobody reads ends the client', async () => {
    const { socket, id } = await started('cmd=sleep&cmd=60');
    socket.raw.pause();
    const held = await heldDuring(async () => {
      await sendUntilHeldBack(socket, frameOf(opcode.ping, Buffer.alloc(125)), 30 * mebibyte);
      await assertOthersAnswer();
    });
    assert.ok(held < bound, `${held} bytes`);
    // The client sees its end once it reads on.
    socket.raw.resume();
    assert.equal((await socket.closed).code, 1006);
    await end(socket, id);
  });

  it('through the proxy is held back in both directions', async () => {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}); // the client is cut off in the end
      const piece = Buffer.alloc(64 * 1024);
      const more = (): void => {
        while (!socket.destroyed && socket.write(piece));
        socket.once('drain', more);
      };
      more();
      socket.pause();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = api.socket('/v1/sprites/one/proxy');
    await once(socket.raw, 'open');
    socket.send({ port: (server.address() as net.AddressInfo).port });
    await socket.until((messages) => messages.length > 0);
    let sent = 0;
    const held = await heldDuring(async () => {
      socket.raw.pause();
      socket.messages.length = 0;
      sent = await sendUntilHeldBack(socket, frameOf(opcode.binary, Buffer.alloc(64 * 1024)), 100 * mebibyte);
      await assertOthersAnswer();
    });
    assert.ok(sent < 60 * mebibyte, `${sent} bytes were taken`);
    // Both directions, and the service in the sprite is this process too.
    assert.ok(held < 2 * bound, `${held} bytes`);
    socket.raw.terminate();
    for (const each of sockets) each.destroy();
    server.close();
    await eventually(() => api.service.leases === 0);
  });
});
