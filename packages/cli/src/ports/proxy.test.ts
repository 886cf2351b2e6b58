import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
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

/** Answers, later than any patience with silence, how much it got until the end of its input. */
const counting = `
import socket, time
s = socket.create_server(('127.0.0.1', 0))
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    n = 0
    while data := c.recv(65536): n += len(data)
    time.sleep(3)
    c.sendall(b'%d' % n)
    c.close()
`;
/** Sends so much to a port, ends its output, prints what comes. */
const asking = `
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
s.sendall(bytes(1000000))
s.shutdown(socket.SHUT_WR)
while data := s.recv(65536): print(data.decode(), end='')
`;

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

  test('passes on the end of input, and waits for an answer that comes late', async () => {
    const service = spawn('python3', ['-c', counting], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(service.stdout, 'data')) as [Buffer];
    const remote = Number(said);
    const child = fixture.spawn(['proxy', '-s', 'one', '--json', `0:${remote}`]);
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const local = (JSON.parse(line) as { local_port: number }).local_port;
    const { stdout } = await promisify(execFile)('python3', ['-c', asking, String(local)]);
    assert.equal(stdout, '1000000');
    const over = await fixture.run(['proxy', '-s', 'one', '-W', String(remote)], { input: Buffer.alloc(500_000) });
    assert.deepEqual([over.code, over.stdout.toString()], [0, '500000']);
    child.kill('SIGINT');
    service.kill();
    await Promise.all([once(child, 'close'), once(service, 'close')]);
  });

  test('does without where the server knows no half-close', async () => {
    fixture.server.halfClose = false;
    const input = randomBytes(100_000);
    const { code, stdout } = await fixture.run(['proxy', '-s', 'one', '-W', String(port)], { input });
    fixture.server.halfClose = true;
    assert.deepEqual([code, sha256(stdout)], [0, sha256(input)]);
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
