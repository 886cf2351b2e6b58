import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, lstat, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { CliFixture, type Run } from './testing/run-cli.ts';

const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHbGBhZrBpLyoP9Hl3GLRTUMv5N2dHkfYlNu6Vrbn8bq';
const server = { listen: '127.0.0.1:7722', host_key: hostKey, fingerprint: 'SHA256:x' };
const row = {
  id: 'k1',
  name: 'me@here',
  type: 'ssh-ed25519',
  created_at: new Date().toISOString(),
  last_used_at: null,
};

const requests: string[] = [];
let keys: object[] = [];
let shown: object | null = server;
let fixture: CliFixture;
let ownLine: string;
let fingerprint: string;

function answerTo({ method, url = '' }: IncomingMessage): object {
  if (method === 'POST') return { ...row, fingerprint };
  if (url === '/v1/sprites/one') return { name: 'one' };
  if (url.startsWith('/v1/sprites')) return { sprites: [{ name: 'one' }, { name: 'two' }], has_more: false };
  return { keys, server: shown };
}

const http = createServer((request: IncomingMessage, response: ServerResponse) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
    if (request.method === 'DELETE') response.writeHead(204).end();
    else response.end(JSON.stringify(answerTo(request)));
  });
});

before(async () => {
  fixture = await CliFixture.make();
  await new Promise<void>((resolve) => void http.listen(0, '127.0.0.1', resolve));
  await mkdir(join(fixture.home, '.ssh'), { mode: 0o700 });
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(fixture.home, '.ssh/id_ed25519')]);
  ownLine = (await readFile(join(fixture.home, '.ssh/id_ed25519.pub'), 'utf8')).trim();
  fingerprint =
    execFileSync('ssh-keygen', ['-l', '-f', join(fixture.home, '.ssh/id_ed25519.pub')])
      .toString()
      .split(' ')[1] ?? '';
  // Stands for the system's ssh: says what it was called with, and ends as it is told.
  await mkdir(join(fixture.home, 'bin'));
  await writeFile(join(fixture.home, 'bin/ssh'), '#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n');
  await chmod(join(fixture.home, 'bin/ssh'), 0o755);
});
beforeEach(() => {
  requests.length = 0;
  keys = [{ ...row, fingerprint }];
  shown = server;
});
after(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  await fixture[Symbol.asyncDispose]();
});

function run(words: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<Run> {
  const { port } = http.address() as AddressInfo;
  return fixture.run(words, {
    ...(options.input === undefined ? {} : { input: options.input }),
    env: {
      SYLPH_URL: `http://127.0.0.1:${port}`,
      PATH: `${join(fixture.home, 'bin')}:${process.env['PATH'] ?? ''}`,
      ...options.env,
    },
  });
}

test("a key is added: the one in ~/.ssh, a file's, or stdin's", async () => {
  assert.match((await run(['ssh-key', 'add'])).stdout.toString(), /^added me@here .*id_ed25519\.pub\)\n$/);
  await run(['ssh-key', 'add', join(fixture.home, '.ssh/id_ed25519.pub'), '--name', 'work']);
  await run(['ssh-key', 'add', '-'], { input: ownLine });
  const sent = requests.map((line) => JSON.parse(line.replace('POST /v1/ssh-keys ', '')));
  assert.deepEqual(
    sent.map(({ public_key: key }) => key.trim()),
    [ownLine, ownLine, ownLine],
  );
  assert.equal(sent[1].name, 'work');
  assert.equal((await run(['ssh-key', 'add', '/no/such.pub'])).code, 1);
});

test('keys are listed, and removed by name or fingerprint', async () => {
  assert.match((await run(['ssh-key', 'list'])).stdout.toString(), /me@here +ssh-ed25519 +SHA256:\S+ +\S.* never\n$/);
  assert.equal((await run(['ssh-key', 'remove', 'me@here'])).code, 0);
  assert.equal((await run(['ssh-key', 'remove', fingerprint])).code, 0);
  assert.deepEqual(
    requests.filter((line) => line.startsWith('DELETE')),
    ['DELETE /v1/ssh-keys/k1', 'DELETE /v1/ssh-keys/k1'],
  );
  assert.equal((await run(['ssh-key', 'remove', 'other'])).code, 1);
});

test("ssh is run with the server's pinned key, its exit code is ours", async () => {
  const { code, stdout } = await run(['ssh', 'one', '-L', '8080:localhost:80', 'ls', '-l']);
  assert.equal(code, 7);
  const words = stdout.toString().trimEnd().split('\n');
  assert.deepEqual(words.slice(-7), ['-l', 'one', 'sylph-one', '-L', '8080:localhost:80', 'ls', '-l']);
  for (const setting of ['HostName=127.0.0.1', 'Port=7722', 'StrictHostKeyChecking=yes', 'HostKeyAlias=sylph'])
    assert.ok(words.includes(setting), setting);
  const known = words.find((word) => word.startsWith('UserKnownHostsFile='))?.slice('UserKnownHostsFile='.length) ?? '';
  assert.equal(await readFile(known, 'utf8'), `sylph ${hostKey}\n`);
  const withS = await run(['ssh', '-s', 'one', '--', 'true']);
  assert.deepEqual(withS.stdout.toString().trimEnd().split('\n').slice(-2), ['sylph-one', 'true']);
  const elsewhere = await run(['ssh', '--via', 'example.org:22', 'one']);
  assert.match(elsewhere.stdout.toString(), /HostName=example\.org\n-o\nPort=22\n/);
});

test('what would not work is said before ssh is run', async () => {
  keys = [];
  const none = await run(['ssh', 'one']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /sylph ssh-key add/);
  const added = await run(['ssh', '--add-key', 'one']);
  assert.equal(added.code, 7);
  assert.ok(requests.some((line) => line.startsWith('POST /v1/ssh-keys ')));
  keys = [{ ...row, fingerprint: 'SHA256:other' }];
  const other = await run(['ssh', 'one']);
  assert.equal(other.code, 7);
  assert.match(other.stderr, /is registered/);
  shown = null;
  const off = await run(['ssh', 'one']);
  assert.equal(off.code, 1);
  assert.match(off.stderr, /ssh-listen/);
});

test('ssh-config prints blocks, and writes them once, keeping what is there', async () => {
  const one = (await run(['ssh-config', 'one'])).stdout.toString();
  assert.match(one, /^Host sylph-one\n {2}User one\n {2}HostName 127\.0\.0\.1\n {2}Port 7722\n/);
  const config = join(fixture.home, '.ssh/config');
  await mkdir(join(fixture.home, 'dotfiles'));
  await writeFile(join(fixture.home, 'dotfiles/config'), 'Host mine\n  User me\n');
  await symlink(join(fixture.home, 'dotfiles/config'), config);
  assert.match((await run(['ssh-config', '--write'])).stdout.toString(), /^wrote /);
  assert.match((await run(['ssh-config', '--write'])).stdout.toString(), /as it should be/);
  assert.equal(await readFile(config, 'utf8'), 'Include sylph/*.conf\n\nHost mine\n  User me\n');
  assert.ok((await lstat(config)).isSymbolicLink());
  // OpenSSH reads it as it is meant.
  const seen = execFileSync('/usr/bin/ssh', ['-F', config, '-G', 'sylph-two'], {
    env: { HOME: fixture.home },
  }).toString();
  const { stdout } = await run(['ssh-config', '--write', '--json']);
  const written = await readFile(JSON.parse(stdout.toString()).file, 'utf8');
  assert.match(written, /Host sylph-two\n {2}User two\n/);
  assert.match(seen, /^host /m);
  assert.equal((await run(['ssh-config', '--write', 'one'])).code, 2);
});
