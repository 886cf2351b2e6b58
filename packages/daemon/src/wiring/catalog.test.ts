import assert from 'node:assert/strict';
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolCatalog } from './catalog.ts';

const hash = (digit: string): string => digit.repeat(64);

/** What set-up leaves behind for a guest. */
async function build(source: string, digest: string, createdAt: string): Promise<void> {
  const file = { sha256: hash('0'), sizeBytes: 1 };
  await mkdir(join(source, digest), { recursive: true });
  for (const name of ['kernel', 'initrd']) await writeFile(join(source, digest, name), `${name} ${digest}`);
  const manifest = {
    version: 1,
    digest,
    inputs: hash('1'),
    suite: 'trixie',
    protocol: 1,
    kernel: { ...file, release: '6.12' },
    initrd: file,
    agent: file,
    bootModules: [],
    createdAt,
  };
  await writeFile(join(source, digest, 'guest.json'), JSON.stringify(manifest));
}

test('of guests in the pool the newest stays; snapshots keep the files of theirs', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sylph-catalog-'));
  try {
    const dirs = { images: join(dir, 'images'), guests: join(dir, 'guests'), guestSource: join(dir, 'built') };
    const [old, newer] = [hash('a'), hash('b')];
    await build(dirs.guestSource, old, '2026-01-01T00:00:00.000Z');
    assert.equal((await (await PoolCatalog.open(dirs)).guest()).digest, old);
    await mkdir(join(dir, 'snapshot'));
    await link(join(dirs.guests, old, 'kernel'), join(dir, 'snapshot/kernel'));
    await build(dirs.guestSource, newer, '2026-01-02T00:00:00.000Z');
    await writeFile(join(dirs.guests, 'README'), 'of a person');
    const catalog = await PoolCatalog.open(dirs);
    assert.deepEqual((await readdir(dirs.guests)).toSorted(), ['README', newer].toSorted());
    assert.equal(await readFile((await catalog.guest()).kernel, 'utf8'), `kernel ${newer}`);
    assert.equal(await readFile(join(dir, 'snapshot/kernel'), 'utf8'), `kernel ${old}`);
    // And again back, with an older one built last.
    await rm(join(dirs.guestSource, newer), { recursive: true });
    assert.equal((await (await PoolCatalog.open(dirs)).guest()).digest, old);
    assert.deepEqual((await readdir(dirs.guests)).toSorted(), ['README', old].toSorted());
  } finally {
    await rm(dir, { recursive: true });
  }
});
