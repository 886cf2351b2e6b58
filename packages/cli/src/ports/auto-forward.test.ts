import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Pty } from '../testing/pty.ts';
import { CliFixture } from '../testing/run-cli.ts';

let fixture: CliFixture;

before(async () => {
  fixture = await CliFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

describe('ports that a command opens', () => {
  test('are forwarded on a terminal, to another port where theirs is taken, and closed at the end', async () => {
    const service = createServer((socket) => void socket.end('from inside')).listen(0, '127.0.0.1');
    await once(service, 'listening');
    const { port } = service.address() as AddressInfo;
    fixture.server.openPorts = [port];
    await using pty = new Pty(fixture.argv('console', '-s', 'one', 'cat'), fixture.env);
    await pty.expect(/127\.0\.0\.1:\d+ .* port \d+ of one \(\d+ is taken here\)\r\n/);
    const local = Number(/127\.0\.0\.1:(\d+)/.exec(pty.output)?.[1]);
    const socket = connect(local, '127.0.0.1');
    const [data] = (await once(socket, 'data')) as [Buffer];
    assert.equal(data.toString(), 'from inside');
    socket.destroy();
    pty.send('\x1c');
    await pty.ended;
    const refused = connect(local, '127.0.0.1');
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    service.close();
  });

  test('are left alone without a terminal, and when asked to', async () => {
    fixture.server.openPorts = [1];
    const { stdout, stderr } = await fixture.run(['exec', '-s', 'one', 'echo', 'hi']);
    assert.deepEqual([stdout.toString(), stderr], ['hi\n', '']);
    await using pty = new Pty(fixture.argv('exec', '-s', 'one', '--no-port-forward', 'sleep', '1'), fixture.env);
    await pty.ended;
    assert.equal(pty.output, '');
  });
});
