// Files of real sprites: whole and large, owned by whom they should be, and a disk that is full.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import { SylphClient, type SpriteFiles } from '@sylph/client';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';

checkLeaks(() => daemon[Symbol.asyncDispose]());

let daemon: TestDaemon;
let api: Api;
let files: SpriteFiles;
before(async () => {
  daemon = await TestDaemon.start();
  api = new Api(daemon);
  await api.create('x');
  files = new SylphClient({ baseUrl: daemon.url, token: daemon.token }).files('x');
});

test('64 MB go in and out unchanged', async () => {
  const piece = randomBytes(1_000_000);
  const hash = createHash('sha256');
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 64; count++) {
      hash.update(piece);
      yield piece;
    }
  };
  assert.equal((await files.write('/home/sprite/new/big', source(), { mkdirs: true })).size, 64_000_000);
  const wanted = hash.digest('hex');
  assert.equal((await api.text('x', 'sha256sum /home/sprite/new/big')).split(' ')[0], wanted);
  const got = createHash('sha256');
  for await (const bytes of (await files.read('/home/sprite/new/big')).bytes) got.update(bytes);
  assert.equal(got.digest('hex'), wanted);
});

test('files are touched as sprite, and as root when asked', async () => {
  await files.write('/home/sprite/mine', 'text');
  assert.equal(await api.text('x', 'stat -c %U:%a /home/sprite/mine'), 'sprite:644');
  await assert.rejects(files.write('/etc/mine', 'text'), { code: 'EACCES', status: 403 });
  await assert.rejects(files.readBytes('/etc/shadow'), { code: 'EACCES' });
  await assert.rejects(files.chown('/home/sprite/mine', { uid: 'root' }), { code: 'EPERM' });
  await files.write('/etc/mine', 'text', { asRoot: true, mode: 0o600 });
  await files.chown('/home/sprite/mine', { uid: 'root', gid: 0 }, { asRoot: true });
  assert.equal(await api.text('x', 'stat -c %U:%G:%a /home/sprite/mine'), 'root:root:644');
  await files.remove('/etc/mine', { asRoot: true });
  await assert.rejects(files.stat('/etc/mine'), { code: 'ENOENT', status: 404 });
});

test('trees travel as archives, changes are watched', async () => {
  await files.mkdir('/home/sprite/tree/in');
  const watch = await files.watch('tree', { workingDir: '/home/sprite', recursive: true });
  const changes = watch[Symbol.asyncIterator]();
  await files.write('/home/sprite/tree/in/f\n', 'text');
  let seen = await changes.next();
  while (seen.value?.type !== 'event' || seen.value.path !== '/home/sprite/tree/in/f\n') seen = await changes.next();
  await changes.return?.();
  const archive = await files.archive('/home/sprite/tree');
  const made = await files.unpack('/home/sprite/copy', archive.bytes, { mkdirs: true });
  assert.deepEqual([made.count, made.totalBytes], [3, 4]);
  assert.equal(await files.readText('/home/sprite/copy/in/f\n'), 'text');
});

test('a full disk is said, and nothing is left of what did not fit', async () => {
  await api.text('x', 'mkdir full && head -c 400000000 /dev/zero > full/old');
  const free = Number(await api.text('x', 'df --output=avail -B1 / | tail -1'));
  await api.text('x', `fallocate -l ${free - 20_000_000} full/filler || true`);
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 600; count++) yield Buffer.alloc(1_000_000, count % 251);
  };
  await assert.rejects(files.write('/home/sprite/full/old', source()), { code: 'ENOSPC', status: 507 });
  assert.equal(await api.text('x', 'ls -A full | sort | xargs'), 'filler old');
  assert.equal(await api.text('x', 'stat -c %s full/old'), '400000000');
  await files.remove('/home/sprite/full', { recursive: true });
  await files.write('/home/sprite/after', 'room again');
});
