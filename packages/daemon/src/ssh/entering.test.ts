import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { defaultSshLimits, openHostKey } from '@sylph/ssh';
import { createToken } from '../auth/tokens.ts';
import { gather } from './testing/ssh-client.ts';
import { registerKey, SshWorld } from './testing/ssh-world.ts';

const run = promisify(execFile);

describe('entering by SSH', () => {
  let world: SshWorld;
  before(async () => {
    world = await SshWorld.open({ checkIntervalMs: 100 });
  });
  after(() => world[Symbol.asyncDispose]());

  async function makeKey(name: string, ...options: string[]): Promise<string> {
    const file = join(world.dir, name);
    await run('ssh-keygen', ['-q', '-N', '', '-f', file, ...options]);
    return file;
  }

  test('the host key is made once, for its owner only, and a damaged one is no reason for another', async () => {
    const file = join(world.dir, 'some-host-key');
    const [first, second] = [await openHostKey(file), await openHostKey(file)];
    assert.deepEqual(first, second);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { stdout } = await run('ssh-keygen', ['-l', '-f', file]);
    assert.equal(stdout.split(' ')[1], first.fingerprint);
    await writeFile(file, 'damaged');
    await assert.rejects(openHostKey(file), { code: 'host_unfit' });
  });

  test('keys of all kinds let in, also by NAME.ORG; their use is noted', async () => {
    for (const [name, ...options] of [
      ['ec', '-t', 'ecdsa', '-b', '521'],
      ['rsa', '-t', 'rsa', '-b', '2048'],
      ['ed', '-t', 'ed25519'],
    ] as [string, ...string[]][]) {
      const file = await makeKey(name, ...options);
      const id = await registerKey(world.repository, world.org, `${file}.pub`);
      const ended = await world.ssh(['echo in'], { options: [`IdentityFile=${file}`], user: 'one.acme' });
      assert.equal(ended.stdout, 'in\n', name + ended.stderr);
      const rows = await world.repository.sshKeys.sshKeys(world.org.id);
      assert.ok(rows.find((row) => row.id === id));
    }
    const own = (await world.repository.sshKeys.sshKeys(world.org.id)).find(({ id }) => id === world.keyId);
    assert.ok(own?.lastUsedAt);
  });

  test('unknown keys, sprites and organizations fail alike', async () => {
    const stranger = await readFile(await makeKey('stranger', '-t', 'ed25519'));
    const foreign = await world.repository.ensureOrg('foreign');
    await world.service.create(foreign, { name: 'theirs' });
    const known = await readFile(join(world.dir, 'id'));
    const failures: string[] = [];
    for (const [username, privateKey] of [
      ['one', stranger],
      ['none', known],
      ['none', stranger],
      ['theirs', known],
      ['theirs.foreign', known],
      ['one.foreign', known],
      ['one.none', known],
      ['One', known],
      ['one.acme.x', known],
      ['', known],
      ['../one', known],
      ['a'.repeat(5_000), known],
    ] as const)
      failures.push(
        await world.client({ username, privateKey }).then(
          () => 'in',
          (error: Error) => error.message,
        ),
      );
    assert.deepEqual([...new Set(failures)], ['All configured authentication methods failed']);
  });

  test('with a key that two organizations have, the name has to be said whole', async () => {
    const other = await world.repository.ensureOrg('other');
    await world.service.create(other, { name: 'twice' });
    await world.service.create(other, { name: 'theirs' });
    await world.service.create(world.org, { name: 'twice' });
    const key = await registerKey(world.repository, other, join(world.dir, 'id.pub'));
    for (const user of ['twice', 'theirs', 'one']) assert.equal((await world.ssh(['true'], { user })).code, 255, user);
    assert.equal((await world.ssh(['true'], { user: 'twice.other' })).code, 0);
    assert.equal((await world.ssh(['true'], { user: `one.${world.org.slug}` })).code, 0);
    await world.repository.sshKeys.removeSshKey(other.id, key);
    assert.equal((await world.ssh(['true'], { user: 'one' })).code, 0);
  });

  test('a token is a password, asked for either way, and wrong ones are soon no longer looked at', async () => {
    await using strict = await SshWorld.open({ tokenFailuresPerMinute: 4 });
    const there = { host: '127.0.0.1', port: strict.server.port, username: 'one' };
    {
      await using byPassword = await strict.client({ ...there, privateKey: '', password: strict.token });
      assert.equal(await gather(await byPassword.exec('exit 4')).exit, 4);
    }
    const { Client } = (await import('ssh2')).default;
    const client = new Client();
    client.on('keyboard-interactive', (_name, _what, _lang, prompts, answer) => {
      assert.match(prompts[0]?.prompt ?? '', /token/);
      answer([strict.token]);
    });
    client.connect({ ...there, tryKeyboard: true });
    await once(client, 'ready');
    client.end();
    // The last try of a connection is as good as the first.
    const clumsy = new Client();
    const tries = ['acme/x/y/z', '', strict.token].map((token) => ({
      ...{ type: 'keyboard-interactive' as const, username: 'one' },
      prompt: (_name: string, _what: string, _lang: string, _prompts: unknown, answer: (answers: string[]) => void) =>
        answer([token]),
    }));
    clumsy.connect({ ...there, authHandler: tries });
    await once(clumsy, 'ready');
    clumsy.end();
    for (let i = 0; i < 4; i += 1)
      await assert.rejects(strict.client({ ...there, privateKey: '', password: `acme/x/y/${i}` }));
    await assert.rejects(strict.client({ ...there, privateKey: '', password: strict.token }), /authentication/);
    assert.equal((await strict.ssh(['true'])).code, 0, 'keys are not');
  });

  test('removed keys and revoked tokens end what is open with them', async () => {
    const file = await makeKey('brief', '-t', 'ed25519');
    const id = await registerKey(world.repository, world.org, `${file}.pub`);
    await using byKey = await world.client({ privateKey: await readFile(file) });
    const token = await createToken(world.repository, { org: 'acme', description: 'brief', expiresAt: null });
    await using byToken = await world.client({ privateKey: '', password: token });
    const outputs = [gather(await byKey.exec('sleep 100')), gather(await byToken.exec('sleep 100'))] as const;
    await world.repository.sshKeys.removeSshKey(world.org.id, id);
    await outputs[0].exit;
    assert.match(outputs[0].errors(), /the key was removed/);
    await world.repository.revokeToken(token.split('/')[2] ?? '', new Date().toISOString());
    await outputs[1].exit;
    assert.match(outputs[1].errors(), /token was revoked/);
  });

  test('clients of other tastes are served, weak ones are not', async () => {
    for (const algorithms of [
      { kex: ['ecdh-sha2-nistp384'], cipher: ['aes256-ctr'], hmac: ['hmac-sha2-512'] },
      { kex: ['diffie-hellman-group14-sha256'], cipher: ['aes192-ctr'], hmac: ['hmac-sha2-256-etm@openssh.com'] },
      { kex: ['curve25519-sha256@libssh.org'], cipher: ['aes256-gcm@openssh.com'] },
    ] as const) {
      await using client = await world.client({ algorithms: algorithms as never });
      const output = gather(await client.exec('echo ok'));
      await output.exit;
      assert.equal(output.text(), 'ok\n');
    }
    for (const algorithms of [
      { kex: ['diffie-hellman-group14-sha1'] },
      { cipher: ['aes128-cbc'] },
      { hmac: ['hmac-sha1'], cipher: ['aes128-ctr'] },
      { serverHostKey: ['ssh-rsa'] },
    ] as const)
      await assert.rejects(world.client({ algorithms: algorithms as never }));
  });

  test('silence, noise and crowds before authentication are bounded', async () => {
    await using small = await SshWorld.open({ authTimeoutMs: 3_000, maxUnauthenticatedPerAddress: 5 });
    const sockets = Array.from({ length: 12 }, () => net.connect(small.server.port, '127.0.0.1'));
    const closed = sockets.map((socket) => {
      socket.on('error', () => {});
      socket.resume();
      return new Promise<number>((resolve) => socket.once('close', () => resolve(Date.now())));
    });
    const begun = Date.now();
    const noise = sockets.at(0);
    noise?.write('GET / HTTP/1.1\r\n\r\n');
    const times = (await Promise.all(closed)).map((one) => one - begun);
    assert.ok(times.filter((ms) => ms < 2_500).length >= 7, `the crowd is refused at once: ${times.join()}`);
    assert.ok(Math.max(...times) < 20_000, 'nobody stays');
    assert.equal((await small.ssh(['true'])).code, 0);
  });

  test('a client that asks and does not read is not read either', async () => {
    await using patient = await SshWorld.open({ maxUnsentBytes: 16_384 });
    await using client = await patient.client();
    const raw = client.client as unknown as { _sock: net.Socket; _protocol: { ping(): void } };
    raw._sock.pause();
    // Each is to be answered. What the kernel and the server do not take stays here.
    for (let i = 0; i < 1_000_000 && raw._sock.writableLength < 300_000; i += 1) {
      raw._protocol.ping();
      if (i % 1_000 === 0) await sleep(0);
    }
    assert.ok(raw._sock.writableLength >= 300_000, 'the server reads on and on');
    raw._sock.resume();
    const output = gather(await client.exec('echo on'));
    await output.exit;
    assert.equal(output.text(), 'on\n');
  });

  test('channels of a connection are limited, and free again', async () => {
    await using few = await SshWorld.open({ maxChannels: 3 });
    await using client = await few.client();
    const open = [await client.exec('cat'), await client.exec('cat'), await client.exec('cat')];
    await assert.rejects(client.exec('cat'), /open failure/i);
    const first = open[0];
    assert.ok(first);
    const ended = once(first, 'close');
    first.resume().end();
    await ended;
    const again = gather(await client.exec('echo room'));
    await again.exit;
    assert.equal(again.text(), 'room\n');
  });

  test('what is asked for before a session, twice, or nonsense changes nothing', async () => {
    await using client = await world.client();
    const channel = await client.exec('echo first; sleep 0.3');
    const output = gather(channel);
    channel.setWindow(0, 4_000_000_000, 0, 0);
    await output.exit;
    assert.equal(output.text(), 'first\n');
    await assert.rejects(
      new Promise((resolve, reject) =>
        client.client.subsys('netconf', (error, found) => (error ? reject(error) : resolve(found))),
      ),
    );
    assert.ok(defaultSshLimits.maxChannels > 10);
  });
});
