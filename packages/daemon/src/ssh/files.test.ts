import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { SshWorld } from './testing/ssh-world.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('files through SSH', { concurrency: 2 }, () => {
  let world: SshWorld;
  let here: string;
  let inside: string;
  const bytes = randomBytes(3_000_000);

  before(async () => {
    world = await SshWorld.open();
    here = join(world.dir, 'here');
    inside = join(world.dir, 'inside');
    await mkdir(join(here, 'tree/sub'), { recursive: true });
    await mkdir(inside);
    await writeFile(join(here, 'file'), bytes);
    await writeFile(join(here, 'tree/sub/run me'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('sub/run me', join(here, 'tree/link'));
  });
  after(() => world[Symbol.asyncDispose]());

  async function assertSame(file: string): Promise<void> {
    assert.equal(sha256(await readFile(file)), sha256(bytes), file);
  }

  test("OpenSSH's sftp puts, gets, lists, renames, links, copies and removes", async () => {
    const batch = `
      lpwd
      cd ${inside}
      put ${here}/file sftp1
      put -R ${here}/tree
      get sftp1 ${world.dir}/got1
      rename sftp1 sftp2
      ln sftp2 hard
      ln -s sftp2 soft
      cp sftp2 copied
      chmod 600 copied
      ls -la
      df -h
      rm hard
      mkdir dir
      rmdir dir
      pwd
    `;
    const ended = await world.run('sftp', [...world.options(), '-b', '-', 'one@127.0.0.1'], { input: batch });
    assert.equal(ended.code, 0, ended.stderr);
    await assertSame(join(world.dir, 'got1'));
    await assertSame(join(inside, 'copied'));
    await assertSame(join(inside, 'soft'));
    assert.equal((await stat(join(inside, 'copied'))).mode & 0o777, 0o600);
    assert.equal((await stat(join(inside, 'tree/sub/run me'))).mode & 0o777, 0o755);
    assert.match(ended.stdout, /-rw-------\s+\S+ root\s+root\s+3000000 .* copied/);
  });

  test('sftp goes on with an upload and a download that broke off', async () => {
    await writeFile(join(inside, 'half'), bytes.subarray(0, 1_000_000));
    await writeFile(join(world.dir, 'half'), bytes.subarray(0, 2_000_000));
    await writeFile(join(inside, 'whole'), bytes);
    const batch = `reput ${here}/file ${inside}/half\nreget ${inside}/whole ${world.dir}/half\n`;
    const ended = await world.run('sftp', [...world.options(), '-b', '-', 'one@127.0.0.1'], { input: batch });
    assert.equal(ended.code, 0, ended.stderr);
    await assertSame(join(inside, 'half'));
    await assertSame(join(world.dir, 'half'));
  });

  for (const [mode, flag] of [
    ['over SFTP', '-s'],
    ['in its old way', '-O'],
  ] as const) {
    test(`scp copies files and trees ${mode}`, async () => {
      const name = `scp${flag}`;
      const up = await world.run('scp', [
        ...world.options(),
        flag,
        '-p',
        join(here, 'file'),
        `one@127.0.0.1:${inside}/${name}`,
      ]);
      assert.equal(up.code, 0, up.stderr);
      await assertSame(join(inside, name));
      const down = await world.run('scp', [
        ...world.options(),
        flag,
        '-r',
        `one@127.0.0.1:${here}/tree`,
        join(world.dir, name),
      ]);
      assert.equal(down.code, 0, down.stderr);
      assert.equal(await readFile(join(world.dir, name, 'sub/run me'), 'utf8'), '#!/bin/sh\n');
      const missing = await world.run('scp', [...world.options(), flag, `one@127.0.0.1:${inside}/no-such`, world.dir]);
      assert.notEqual(missing.code, 0);
    });
  }

  test('rsync copies a tree, and then nothing', async () => {
    const args = ['-a', '--stats', '-e', world.command, `${here}/`, `one@127.0.0.1:${inside}/rsynced/`];
    const first = await world.run('rsync', args);
    assert.equal(first.code, 0, first.stderr);
    await assertSame(join(inside, 'rsynced/file'));
    const second = await world.run('rsync', args);
    assert.match(second.stdout, /Number of regular files transferred: 0/);
    const back = await world.run('rsync', [
      '-a',
      '-e',
      world.command,
      `one@127.0.0.1:${inside}/rsynced/`,
      `${world.dir}/back/`,
    ]);
    assert.equal(back.code, 0, back.stderr);
    await assertSame(join(world.dir, 'back/file'));
  });

  test('git clones and pushes', async () => {
    const env = { GIT_SSH_COMMAND: world.command, GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' };
    const script = `
      set -e
      git init -q --bare -b main ${inside}/repo.git
      git clone -q ssh://one@127.0.0.1${inside}/repo.git ${world.dir}/clone
      cd ${world.dir}/clone
      cp ${here}/file .
      git add file
      git -c user.name=a -c user.email=a@b commit -q -m first
      git push -q origin HEAD:main
      git clone -q ssh://one@127.0.0.1${inside}/repo.git ${world.dir}/clone2
      git -c protocol.version=2 ls-remote -q ssh://one@127.0.0.1${inside}/repo.git
    `;
    const ended = await world.run('bash', ['-c', script], { env });
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stdout, /refs\/heads\/main/);
    await assertSame(join(world.dir, 'clone2/file'));
  });

  test('a file is read and written at random places, as a mounted one is', async () => {
    await using client = await world.client();
    const sftp = await client.sftp();
    const open = promisify(sftp.open.bind(sftp) as (p: string, m: string, cb: (e?: Error, h?: Buffer) => void) => void);
    const handle = (await open(join(inside, 'random'), 'w+')) as unknown as Buffer;
    const places = Array.from({ length: 64 }, (_, i) => ((i * 37) % 64) * 10_000);
    const piece = (at: number): Buffer => bytes.subarray(at, at + 10_000);
    await Promise.all(
      places.map(
        (at) =>
          new Promise<void>((resolve, reject) =>
            sftp.write(handle, piece(at), 0, 10_000, at, (error) => (error ? reject(error) : resolve())),
          ),
      ),
    );
    const read = await Promise.all(
      places.map(
        (at) =>
          new Promise<Buffer>((resolve, reject) =>
            sftp.read(handle, Buffer.alloc(10_000), 0, 10_000, at, (error, n, got) =>
              error ? reject(error) : resolve(got.subarray(0, n)),
            ),
          ),
      ),
    );
    for (const [i, at] of places.entries()) assert.ok((read[i] as Buffer).equals(piece(at)));
  });
});
