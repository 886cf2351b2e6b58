import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { Pty } from '../testing/pty.ts';
import { CliFixture } from '../testing/run-cli.ts';

let fixture: CliFixture;
let opened: string;
let env: Record<string, string>;

before(async () => {
  fixture = await CliFixture.make();
  const bin = join(fixture.home, 'bin');
  opened = join(fixture.home, 'opened');
  await mkdir(bin);
  for (const name of ['xdg-open', 'open'])
    await writeFile(join(bin, name), `#!/bin/sh\nprintf '%s\\n' "$@" >> '${opened}'\n`, { mode: 0o755 });
  env = { ...fixture.env, PATH: `${bin}:${fixture.env['PATH']}` };
});
after(() => fixture[Symbol.asyncDispose]());
beforeEach(async () => {
  fixture.server.openPorts = [];
  await writeFile(opened, '');
});

const request = (text: string): string => `printf '\\033]9999;browser-open;${text}\\033\\\\'; `;

/** A terminal whose program runs this script. */
const terminal = (script: string, ...options: string[]): Pty =>
  new Pty(fixture.argv('exec', '-s', 'one', '--tty', ...options, 'sh', '-c', script), env);

/** What was opened, once it is so many lines. */
async function openedLines(count: number): Promise<string[]> {
  for (;;) {
    const lines = (await readFile(opened, 'utf8')).split('\n').slice(0, -1);
    if (lines.length >= count) return lines;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('an address is shown on a line of its own and not opened, even when the command ends at once', async () => {
  await using pty = terminal(`printf before; ${request('http://localhost:1/a?b=c')} printf ' after'`);
  assert.equal((await pty.ended).code, 0);
  assert.equal(pty.output, 'before after\r\nsylph: the sprite asks to open http://localhost:1/a?b=c\r\n');
  assert.deepEqual(await openedLines(0), []);
});

test('an address that the program shows too is shown once', async () => {
  await using pty = terminal(`${request('http://localhost:1/')} printf 'Open this address: http://localhost:1/\\r\\n'`);
  await pty.ended;
  assert.equal(pty.output, '\r\nsylph: the sprite asks to open http://localhost:1/\r\n');
});

test('is opened when the person wants it, one at a time', async () => {
  const script = `${request('http://x.test/1')}${request('http://x.test/2')} sleep 1`;
  await using pty = terminal(script, '--open-browser');
  assert.deepEqual(await openedLines(1), ['http://x.test/1']);
  await pty.expect(/open http:\/\/x\.test\/2[^]*it is not opened: another was just now/);
  await pty.ended;
  env['SYLPH_OPEN_BROWSER'] = '1';
  try {
    await using again = new Pty(fixture.argv('console', '-s', 'one', 'sh', '-c', request('http://x.test/3')), env);
    await again.ended;
    assert.deepEqual(await openedLines(2), ['http://x.test/1', 'http://x.test/3']);
  } finally {
    delete env['SYLPH_OPEN_BROWSER'];
  }
});

test('what is no web address is told and nothing else', async () => {
  await using pty = terminal(`${request('file:///etc/passwd')}${request('--help')}`, '--open-browser');
  await pty.ended;
  assert.equal(pty.output, '\r\nsylph: the sprite asks to open something that is no web address\r\n'.repeat(2));
  assert.deepEqual(await openedLines(0), []);
});

test('its ports can be reached, unless that is not wanted', async () => {
  const service = createServer((socket) => void socket.end('from inside')).listen(0, '127.0.0.1');
  await once(service, 'listening');
  const { port } = service.address() as AddressInfo;
  const script = `${request(`http://localhost:${port}/;${port}`)} sleep 60`;
  await using pty = terminal(script);
  await pty.expect(/127\.0\.0\.1:\d+ .* port \d+ of one \(\d+ is taken here\)\r\n/);
  const socket = connect(Number(/127\.0\.0\.1:(\d+) /.exec(pty.output)?.[1]), '127.0.0.1');
  const [data] = (await once(socket, 'data')) as [Buffer];
  assert.equal(data.toString(), 'from inside');
  socket.destroy();
  pty.send('\x1c');
  await pty.ended;
  // One that was told of is forwarded once.
  fixture.server.openPorts = [port];
  await using both = terminal(`sleep 0.5; ${request(`http://localhost/;${port}`)} sleep 0.5`);
  await both.ended;
  assert.equal(both.output.match(/127\.0\.0\.1:\d+ /g)?.length, 1);
  await using without = terminal(`${request(`http://localhost/;${port}`)} sleep 0.5`, '--no-port-forward');
  await without.ended;
  assert.doesNotMatch(without.output, /127\.0\.0\.1:/);
  service.close();
});

test('who reads the output from a pipe gets all of it', async () => {
  const { stdout } = await fixture.run(['exec', '-s', 'one', '--tty', 'sh', '-c', request('http://x.test/')]);
  assert.equal(stdout.toString(), '\x1b]9999;browser-open;http://x.test/\x1b\\');
});
