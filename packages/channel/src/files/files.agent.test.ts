import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestFileError, type GuestChannel } from '@sylph/engine';
import { ControlAndDataChannels } from '../factory.ts';
import { RealAgent } from '../testing/real-agent.ts';

let agent: RealAgent;
let channel: GuestChannel;
let dir: string;
before(async () => {
  agent = await RealAgent.start();
  channel = await new ControlAndDataChannels().connect(agent.sockets, {
    deadlineMs: 10_000,
    signal: new AbortController().signal,
  });
  await channel.open({ deadlineMs: 10_000 });
});
beforeEach(async () => {
  dir = await mkdtemp(join(agent.dir, 'files-'));
});
after(async () => {
  await channel.close();
  await agent[Symbol.asyncDispose]();
});

const { signal } = new AbortController();
const at = (name: string) => ({ path: join(dir, name), user: 'root' });
const plain = { signal, mode: undefined, parents: false, lengthBytes: undefined };

async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}
const gather = async (bytes: AsyncIterable<Uint8Array>) => Buffer.concat(await Array.fromAsync(bytes));
const refused = (status: number, errno: string) => (error: unknown) =>
  error instanceof GuestFileError && error.status === status && error.errno === errno;

test('a file goes in and out unchanged, with names of any kind', async () => {
  const bytes = randomBytes(5_000_000);
  for (const name of ['plain', 'a\nb %41#ü?&=+ ', 'n'.repeat(255)]) {
    const written = await channel.files.write(at(name), pieces(bytes), { ...plain, mode: '0640' });
    assert.deepEqual(written, { path: join(dir, name), sizeBytes: bytes.length, mode: '0640' });
    const content = await channel.files.read(at(name), undefined, { signal });
    assert.deepEqual(
      [content.sizeBytes, content.offset, content.lengthBytes, content.mode],
      [bytes.length, 0, bytes.length, '0640'],
    );
    assert.ok((await gather(content.bytes)).equals(bytes));
    const part = await channel.files.read(at(name), { offset: -100, lengthBytes: 10 }, { signal });
    assert.deepEqual([part.offset, part.lengthBytes], [bytes.length - 100, 10]);
    assert.ok((await gather(part.bytes)).equals(bytes.subarray(-100, -90)));
  }
  assert.equal((await readdir(dir)).length, 3);
});

test('refusals have status, errno, path and text', async () => {
  await assert.rejects(
    channel.files.read(at('none'), undefined, { signal }),
    (error) =>
      refused(404, 'ENOENT')(error) &&
      error instanceof GuestFileError &&
      error.path === join(dir, 'none') &&
      error.message === `open ${join(dir, 'none')}: no such file or directory`,
  );
  await writeFile(join(dir, 'f'), 'abc');
  await assert.rejects(
    channel.files.read(at('f'), { offset: 3 }, { signal }),
    (error) => refused(416, 'EINVAL')(error) && error instanceof GuestFileError && error.sizeBytes === 3,
  );
  await assert.rejects(
    channel.files.write(at('none/f'), pieces(randomBytes(3_000_000)), plain),
    refused(404, 'ENOENT'),
  );
  await assert.rejects(
    channel.files.list(at('none'), { signal, recursive: false, pattern: undefined }),
    refused(404, 'ENOENT'),
  );
  await assert.rejects(channel.files.remove(at('none'), { signal, recursive: false }), refused(404, 'ENOENT'));
});

test('a body that breaks off leaves nothing, whoever breaks it', async () => {
  await writeFile(join(dir, 'f'), 'old');
  for (let run = 0; run < 60; run++) {
    const abort = new AbortController();
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield randomBytes(1 + run * 4000);
      if (run % 3 === 0) throw new Error('the source failed');
      if (run % 3 === 1) {
        abort.abort(new Error('the client left'));
        await sleep(5);
      }
      if (run % 3 === 2) {
        await sleep(2);
        abort.abort(new Error('the client left'));
        await new Promise(() => {});
      }
    };
    await assert.rejects(
      channel.files.write(at('f'), body(), { ...plain, signal: abort.signal }),
      /the source failed|the client left/,
    );
    for (let tries = 0; (await readdir(dir)).length !== 1; tries++) {
      assert.ok(tries < 1000, 'something is left');
      await sleep(2);
    }
    assert.ok((await readFile(join(dir, 'f'))).equals(Buffer.from('old')), `run ${run}`);
  }
});

test('an upload goes on where it broke off', async () => {
  const bytes = randomBytes(1_000_000);
  const part = (from: number, to: number) =>
    channel.files.write(at('big'), pieces(bytes.subarray(from, to)), {
      ...plain,
      upload: { id: 'one', offset: from, totalBytes: bytes.length },
    });
  assert.equal(await channel.files.uploadSize(at('big'), 'one', { signal }), 0);
  await part(0, 300_000);
  await assert.rejects(
    part(100, 200),
    (error) => refused(409, 'EEXIST')(error) && (error as GuestFileError).sizeBytes === 300_000,
  );
  assert.equal(await channel.files.uploadSize(at('big'), 'one', { signal }), 300_000);
  assert.equal((await part(300_000, bytes.length)).sizeBytes, bytes.length);
  assert.ok((await readFile(join(dir, 'big'))).equals(bytes));
});

test('lists, removes, renames, copies, changes', async () => {
  await mkdir(join(dir, 'a/b'), { recursive: true });
  await writeFile(join(dir, 'a/b/f\n'), 'text');
  await symlink('b', join(dir, 'a/link'));
  const list = async (recursive: boolean, pattern?: string) =>
    (await Array.fromAsync(await channel.files.list(at('a'), { signal, recursive, pattern }))).map(
      ({ name, type }) => `${name} ${type}`,
    );
  assert.deepEqual(await list(false), ['b directory', 'link symlink']);
  assert.deepEqual(await list(true), ['b directory', 'f\n file', 'link symlink']);
  assert.deepEqual(await list(true, 'f*'), ['f\n file']);
  const copied = await channel.files.copy(at('a'), join(dir, 'c'), { signal, recursive: true, preserveAttrs: true });
  assert.deepEqual([copied.count, copied.totalBytes], [4, 4]);
  assert.deepEqual(await channel.files.rename(at('c'), join(dir, 'd'), { signal }), {
    source: join(dir, 'c'),
    dest: join(dir, 'd'),
  });
  const modes = await channel.files.chmod(at('d/b/f\n'), '0700', { signal, recursive: false });
  assert.deepEqual(modes, { affected: [{ path: join(dir, 'd/b/f\n'), mode: '0700' }], count: 1 });
  assert.equal((await stat(join(dir, 'd/b/f\n'))).mode & 0o777, 0o700);
  const { uid, gid } = await stat(dir);
  const owners = await channel.files.chown(at('d'), { uid, gid: undefined }, { signal, recursive: true });
  assert.equal(owners.count, 4);
  assert.deepEqual(owners.affected.at(-1), { path: join(dir, 'd'), uid, gid });
  assert.equal((await channel.files.remove(at('d'), { signal, recursive: true })).count, 4);
});

test('an archive of a tree comes back the same', async () => {
  await mkdir(join(dir, 'a/b'), { recursive: true });
  const bytes = randomBytes(3_000_000);
  await writeFile(join(dir, 'a/b/f'), bytes);
  await symlink('b', join(dir, 'a/link'));
  const archive = await channel.files.archive(at('a'), { signal });
  assert.deepEqual([archive.entries, archive.contentBytes], [4, bytes.length]);
  const unpacked = await channel.files.unpack(at('x/y'), archive.bytes, { signal, parents: true, owners: false });
  assert.deepEqual([unpacked.count, unpacked.totalBytes], [4, bytes.length]);
  assert.ok((await readFile(join(dir, 'x/y/b/f'))).equals(bytes));
  await assert.rejects(
    channel.files.unpack(at('x/y'), pieces(randomBytes(100_000)), { signal, parents: false, owners: false }),
    refused(400, 'EINVAL'),
  );
});

test('a watch tells what happens until its reader leaves', async () => {
  const lines = (await channel.files.watch([dir], { user: 'root', recursive: true, signal }))[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value?.type, 'subscribed');
  await writeFile(join(dir, 'f'), 'x');
  const { value } = await lines.next();
  assert.ok(value?.type === 'event' && value.event === 'create' && value.path === join(dir, 'f') && !value.isDir);
  await lines.return?.();
});

test('a reader that stops holds the guest back, and others go on', async () => {
  const hash = createHash('sha256');
  const piece = randomBytes(1_000_000);
  await channel.files.write(
    at('large'),
    (async function* () {
      for (let count = 0; count < 60; count++) {
        hash.update(piece);
        yield piece;
      }
    })(),
    plain,
  );
  const slow = await channel.files.read(at('large'), undefined, { signal });
  const iterator = slow.bytes[Symbol.asyncIterator]();
  const first = await iterator.next();
  await sleep(100);
  const before = process.memoryUsage().arrayBuffers;
  await sleep(200);
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000);
  assert.equal(
    (await Array.fromAsync(await channel.files.list(at(''), { signal, recursive: false, pattern: undefined }))).length,
    1,
  );
  const got = createHash('sha256').update(first.value as Uint8Array);
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) got.update(next.value);
  assert.equal(got.digest('hex'), hash.digest('hex'));
});
