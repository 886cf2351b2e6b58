import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SylphClient } from '@sylph/client';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { until } from '../shell.ts';

checkLeaks();

const run = promisify(execFile);
/** A sprite wakes by software emulation; no test depends on how short this is. */
const patienceMs = 120_000;

/** A person with a key and a configuration of ssh of her own. */
class Person implements AsyncDisposable {
  readonly dir: string;
  readonly client: SylphClient;
  keyId = '';

  private constructor(dir: string, client: SylphClient) {
    this.dir = dir;
    this.client = client;
  }

  static async of(daemon: TestDaemon): Promise<Person> {
    const dir = await fs.mkdtemp(path.join(tmpdir(), 'sylph-person-'));
    const person = new Person(dir, new SylphClient({ baseUrl: daemon.url, token: daemon.token }));
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(dir, 'id')]);
    person.keyId = (await person.client.sshKeys.add(await fs.readFile(path.join(dir, 'id.pub'), 'utf8'))).id;
    await person.learn();
    return person;
  }

  /** Pins the server's key, and the port it has now. */
  async learn(): Promise<void> {
    const { server } = await this.client.sshKeys.list();
    assert.ok(server !== null);
    await fs.writeFile(path.join(this.dir, 'known'), `sylph ${server.host_key}\n`);
    await fs.writeFile(
      path.join(this.dir, 'config'),
      `Host box\n  HostName 127.0.0.1\n  Port ${server.listen.split(':').at(-1)}\n  User box\n  HostKeyAlias sylph\n  UserKnownHostsFile ${this.dir}/known\n  StrictHostKeyChecking yes\n  IdentityFile ${this.dir}/id\n  IdentitiesOnly yes\n  BatchMode yes\n`,
    );
  }

  /** Starts ssh; it is killed when it outstays all patience. */
  start(args: string[]): ChildProcessWithoutNullStreams {
    return spawn('ssh', ['-F', path.join(this.dir, 'config'), ...args], { timeout: 2 * patienceMs });
  }

  /** Runs a program of OpenSSH, or one that uses it, to its end. */
  async run(program: string, args: string[], env: Record<string, string> = {}): Promise<string> {
    const config = ['ssh', 'scp', 'sftp'].includes(program) ? ['-F', path.join(this.dir, 'config')] : [];
    const { stdout } = await run(program, [...config, ...args], {
      env: { ...process.env, ...env },
      timeout: patienceMs,
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await fs.rm(this.dir, { recursive: true });
  }
}

/** What a client prints, as it comes. */
function hear(client: ChildProcessWithoutNullStreams): () => string {
  let heard = '';
  for (const stream of [client.stdout, client.stderr])
    stream.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  return () => heard;
}

test('a sprite without a network wakes by SSH, sleeps under a silent shell, and goes on with a key', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'ssh-listen': '127.0.0.1:0', network: 'none' } });
  const api = new Api(daemon);
  await api.create('box', { idle_timeout_s: 6 });
  await using person = await Person.of(daemon);

  assert.equal(await person.run('ssh', ['box', 'id -un; pwd; exit 0']), 'sprite\n/home/sprite\n');
  const status = async (): Promise<string> => (await api.ok('GET', '/v1/sprites/box')).status;
  await until('the sprite to sleep', async () => (await status()) === 'warm' || undefined, { timeoutMs: patienceMs });
  await assert.rejects(person.run('ssh', ['box', 'exit 3']), { code: 3 }, 'it wakes for a command');

  const shell = person.start(['-tt', 'box']);
  const heard = hear(shell);
  shell.stdin.write('x=kept; echo ready$((1+1))\n');
  await until('the shell', async () => heard().includes('ready2') || undefined, { timeoutMs: patienceMs });
  await until('the sprite to sleep under the shell', async () => (await status()) === 'warm' || undefined, {
    timeoutMs: patienceMs,
  });
  assert.equal(shell.exitCode, null, 'the connection stays');
  shell.stdin.write('echo $x$((2+2)); exit 5\n');
  const [code] = (await once(shell, 'close')) as [number];
  assert.match(heard(), /kept4/);
  assert.equal(code, 5);

  const silent = spawn('sftp', ['-F', path.join(person.dir, 'config'), 'box']);
  const answers = hear(silent);
  silent.stdin.write('pwd\n');
  await until('an answer', async () => answers().includes('/home/sprite') || undefined, { timeoutMs: patienceMs });
  await until('the sprite to sleep under a file server', async () => (await status()) === 'warm' || undefined, {
    timeoutMs: patienceMs,
  });
  silent.stdin.end('ls -a\n');
  await once(silent, 'close');
  assert.match(answers(), /\.bashrc/);

  const [waited] = await Promise.all([
    person.run('ssh', ['box', 'sleep 12; echo waited']),
    (async () => {
      await until('the sprite to run', async () => (await status()) === 'running' || undefined);
      for (let i = 0; i < 8; i += 1, await sleep(1_000))
        assert.equal(await status(), 'running', 'a command is waited for');
    })(),
  ]);
  assert.equal(waited, 'waited\n');

  const files = path.join(person.dir, 'files');
  await fs.mkdir(files);
  await fs.writeFile(path.join(files, 'one'), Buffer.alloc(300_000, 1));
  await person.run('scp', ['-r', files, 'box:copied']);
  assert.equal((await person.run('ssh', ['box', 'stat -c %s copied/one'])).trim(), '300000');
  await person.run('scp', ['box:copied/one', path.join(person.dir, 'back')]);
  assert.equal((await fs.stat(path.join(person.dir, 'back'))).size, 300_000);

  const command = `ssh -F ${person.dir}/config`;
  await person.run('ssh', ['box', 'command -v git && git init -q --bare -b main repo']);
  const env = { GIT_SSH_COMMAND: command, GIT_CONFIG_GLOBAL: '/dev/null' };
  const clone = path.join(person.dir, 'clone');
  await person.run('git', ['clone', '-q', 'box:repo', clone], env);
  await fs.writeFile(path.join(clone, 'file'), 'content');
  await person.run('git', ['-C', clone, 'add', 'file'], env);
  await person.run(
    'git',
    ['-C', clone, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '-m', 'first'],
    env,
  );
  await person.run('git', ['-C', clone, 'push', '-q', 'origin', 'HEAD:main'], env);
  assert.match(await person.run('git', ['ls-remote', 'box:repo'], env), /refs\/heads\/main/);
  await person.run('rsync', ['-a', '-e', command, `${files}/`, 'box:synced/']);
  assert.equal((await person.run('ssh', ['box', 'stat -c %s synced/one'])).trim(), '300000');
});

test('what a client has open ends with its key, its sprite and its daemon, and the server stays the same', async () => {
  const first = await TestDaemon.start({ settings: { 'ssh-listen': '127.0.0.1:0', network: 'none' } });
  const api = new Api(first);
  await api.create('box', {});
  await using person = await Person.of(first);
  const open = async (): Promise<{ heard: () => string; closed: Promise<unknown[]> }> => {
    const shell = person.start(['-tt', 'box']);
    const heard = hear(shell);
    shell.stdin.write('echo ready$((1+1))\n');
    await until('a shell', async () => heard().includes('ready2') || undefined, { timeoutMs: patienceMs });
    return { heard, closed: once(shell, 'close') };
  };
  const before = await person.client.sshKeys.list();

  const withKey = await open();
  await person.client.sshKeys.remove(person.keyId);
  await withKey.closed;
  assert.match(withKey.heard(), /the key was removed/);
  await assert.rejects(person.run('ssh', ['box', 'true']), { code: 255 });
  await person.client.sshKeys.add(await fs.readFile(path.join(person.dir, 'id.pub'), 'utf8'));

  const withDaemon = await open();
  await using second = await first.restart('stop', { settings: { 'ssh-listen': '127.0.0.1:0', network: 'none' } });
  await withDaemon.closed;
  assert.match(withDaemon.heard(), /the server goes down/);
  const again = new SylphClient({ baseUrl: second.url, token: second.token });
  assert.equal((await again.sshKeys.list()).server?.host_key, before.server?.host_key);
  await using later = await Person.of(second);
  assert.equal(await later.run('ssh', ['box', 'echo back']), 'back\n');

  const left = later.start(['-tt', 'box', 'echo ready; sleep 1000']);
  const heard = hear(left);
  await until('a command', async () => heard().includes('ready') || undefined, { timeoutMs: patienceMs });
  const closed = once(left, 'close');
  await new Api(second).ok('DELETE', '/v1/sprites/box');
  await closed;
  assert.match(heard(), /lost|deleted/);
});
