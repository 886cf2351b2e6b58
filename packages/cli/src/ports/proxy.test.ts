import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { CliFixture } from '../testing/run-cli.ts';

let fixture: CliFixture;
let echo: Server;
let port: number;

before(async () => {
  fixture = await CliFixture.make();
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  ({ port } = echo.address() as AddressInfo);
});
after(async () => {
  echo.close();
  await fixture[Symbol.asyncDispose]();
});

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function through(local: number, input: Buffer): Promise<Buffer> {
  const socket = connect(local, '127.0.0.1');
  socket.end(input);
  const got: Buffer[] = [];
  for await (const chunk of socket) got.push(chunk as Buffer);
  return Buffer.concat(got);
}

describe('proxy', () => {
  test('forwards several ports, tells what, survives a connection that fails', async () => {
    const child = fixture.spawn(['proxy', '-s', 'one', '--json', `0:${port}`, '0:1']);
    const lines: Record<string, unknown>[] = [];
    const reader = createInterface({ input: child.stdout });
    reader.on('line', (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
    while (lines.length < 2) await once(reader, 'line');
    const [first, second] = lines.map((line) => Number(line['local_port']));
    const input = randomBytes(2_000_000);
    await assert.rejects(through(second ?? 0, Buffer.from('x')));
    if (lines.length < 3) await once(reader, 'line');
    assert.deepEqual([lines[2]?.['type'], lines[2]?.['remote_port']], ['failed', 1]);
    const answers = await Promise.all([through(first ?? 0, input), through(first ?? 0, input)]);
    for (const answer of answers) assert.equal(sha256(answer), sha256(input));
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'close'), [null, 'SIGINT']);
    await assert.rejects(through(first ?? 0, input), { code: 'ECONNREFUSED' });
  });

  test('carries one connection over stdin and stdout, and nothing else', async () => {
    const input = randomBytes(1_000_000);
    const { code, stdout, stderr } = await fixture.run(['proxy', '-s', 'one', '-W', String(port)], { input });
    assert.deepEqual([code, sha256(stdout), stderr], [0, sha256(input), '']);
    const refused = await fixture.run(['proxy', '-s', 'one', '-W', '1']);
    assert.deepEqual([refused.code, refused.stdout.length], [1, 0]);
    assert.match(refused.stderr, /ECONNREFUSED/);
  });

  test('says what is wrong before it listens', async () => {
    assert.equal((await fixture.run(['proxy', '-s', 'one'])).code, 2);
    assert.equal((await fixture.run(['proxy', '-s', 'one', 'x:y'])).code, 2);
    assert.equal((await fixture.run(['proxy', '-s', 'none', '3000'])).code, 1);
    const taken = await fixture.run(['proxy', '-s', 'one', `${port}:80`]);
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, new RegExp(`port ${port} is in use here`));
  });
});
