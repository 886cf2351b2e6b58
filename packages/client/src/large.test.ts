// 500 MB each way through exec, files and a proxied port: every byte arrives, and the daemon's memory does not grow with them.
import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SylphClient } from './index.ts';
import { RealDaemon } from './testing/real-daemon.ts';

const totalBytes = 500_000_000;
const pieceBytes = 1_000_000;
/** What the daemon's process may take at most: less than half of what flows, however much of it is garbage not collected yet. */
const memoryBytes = 350_000_000;

/** The same bytes for the same key, too many to be kept. */
function* noise(key: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, key), Buffer.alloc(16));
  const zeros = Buffer.alloc(pieceBytes);
  for (let sent = 0; sent < totalBytes; sent += pieceBytes) yield cipher.update(zeros);
}

async function* flowing(key: number): AsyncGenerator<Buffer> {
  yield* noise(key);
}

function hashOf(key: number): string {
  const hash = createHash('sha256');
  for (const piece of noise(key)) hash.update(piece);
  return hash.digest('hex');
}

async function hashAll(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of bytes) hash.update(piece);
  return hash.digest('hex');
}

describe('500 MB', () => {
  let daemon: RealDaemon;
  let client: SylphClient;
  before(async () => {
    daemon = await RealDaemon.start();
    client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  test('into a file and out of it', async () => {
    const path = join(daemon.home, 'large');
    const { size } = await client.files('one').write(path, flowing(1));
    assert.equal(size, totalBytes);
    const { bytes } = await client.files('one').read(path);
    assert.equal(await hashAll(bytes), hashOf(1));
    assert.ok((await daemon.peakBytes()) < memoryBytes, `${await daemon.peakBytes()} bytes`);
  });

  test('out of a command', async () => {
    const session = await client.exec('one', { cmd: ['cat', join(daemon.home, 'large')] });
    const hash = createHash('sha256');
    for await (const { bytes } of session.output) hash.update(bytes);
    assert.equal((await session.exit).code, 0);
    assert.equal(hash.digest('hex'), hashOf(1));
    assert.ok((await daemon.peakBytes()) < memoryBytes, `${await daemon.peakBytes()} bytes`);
  });

  test('into a command', async () => {
    const session = await client.exec('one', { cmd: ['sha256sum'], stdin: true });
    const feeding = (async () => {
      for (const piece of noise(2)) await session.stdin.write(piece);
      await session.stdin.end();
    })();
    let text = '';
    for await (const { bytes } of session.output) text += Buffer.from(bytes).toString();
    await feeding;
    assert.equal(text.split(' ')[0], hashOf(2));
    assert.ok((await daemon.peakBytes()) < memoryBytes, `${await daemon.peakBytes()} bytes`);
  });

  test('through a port and back', async () => {
    const server = createServer((socket: Socket) => {
      // Its client leaves without a goodbye when it has everything.
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      await using connection = await client.dial('one', { port: (server.address() as AddressInfo).port });
      const sending = (async () => {
        for (const piece of noise(3)) await connection.write(piece);
      })();
      const hash = createHash('sha256');
      let got = 0;
      for await (const bytes of connection.input) {
        hash.update(bytes);
        got += bytes.length;
        if (got >= totalBytes) break;
      }
      await sending;
      assert.equal(hash.digest('hex'), hashOf(3));
    } finally {
      server.close();
    }
    assert.ok((await daemon.peakBytes()) < memoryBytes, `${await daemon.peakBytes()} bytes`);
  });
});
