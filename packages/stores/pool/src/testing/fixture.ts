import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import type { Snapshot, SnapshotDraft } from '@sylph/engine';
import type { SnapshotManifest, SpriteId } from '@sylph/model';
import { isMounted, openPool, type OpenPool } from '../mount.ts';
import { PoolDirectory } from '../store.ts';
import { HostDisk, tool } from './host-disk.ts';

const gib = 2 ** 30;
/** RAM of the VMs of tests. */
export const ramMib = 128;
/** Host user of their VMs. */
export const uid = 123_456;

/** A pool as a daemon has one on a host that cannot reflink: XFS in a file, mounted. Dispose unmounts and removes it. */
export class PoolFixture implements AsyncDisposable {
  readonly disk: HostDisk;
  readonly pool: OpenPool;
  readonly store: PoolDirectory;

  private constructor(disk: HostDisk, pool: OpenPool) {
    this.disk = disk;
    this.pool = pool;
    this.store = new PoolDirectory(pool.root);
  }

  static async make(): Promise<PoolFixture> {
    const disk = await HostDisk.make(6 * gib);
    try {
      const fixture = new PoolFixture(disk, await openPool(disk.path));
      await fixture.store.sweep({ sprites: new Set(), checkpoints: async () => new Set() });
      return fixture;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The host loses power: what has not reached the disk is gone. The pool is mounted again afterwards. */
  async cutPower(): Promise<void> {
    await tool('xfs_io', '-x', '-c', 'shutdown', this.pool.root);
    await tool('umount', this.pool.root);
    assert.ok(!(await isMounted(this.pool.root)));
    await openPool(this.disk.path);
  }

  /** The sweep of a daemon that knows every sprite and checkpoint there is. */
  async sweep(): Promise<void> {
    const { layout } = this.store;
    await this.store.sweep({
      sprites: new Set(await fs.readdir(layout.sprites)),
      checkpoints: async (id) => new Set(await fs.readdir(layout.checkpointsOf(id))),
    });
  }

  /** Paths below the pool, directories with a slash behind them. */
  async tree(under = ''): Promise<string[]> {
    const root = path.join(this.pool.root, under);
    const found = await fs.readdir(root, { recursive: true, withFileTypes: true });
    return found
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)) + (entry.isDirectory() ? '/' : ''))
      .toSorted();
  }

  /** Writes files below the pool. */
  async write(files: Record<string, string>): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(this.pool.root, name);
      await fs.mkdir(path.dirname(file), { recursive: true });
      await fs.writeFile(file, text);
    }
  }

  /** A committed genesis to make sprites from, with the journal of session 1. */
  async genesis(more: Partial<SnapshotManifest> = {}): Promise<Snapshot> {
    await using draft = await this.store.draftGenesis(randomBytes(8).toString('hex'));
    return await draft.commit(await fill(draft, more));
  }

  /** A sprite that rests on a copy of a snapshot. */
  async sprite(snapshot?: Snapshot): Promise<SpriteId> {
    const id: SpriteId = `sprite-${randomUUID()}`;
    await this.store.createSprite(id, snapshot ?? (await this.genesis()));
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

/** Writes a memory snapshot's files into a draft, synced as a capture does; its manifest. */
export async function fill(draft: SnapshotDraft, more: Partial<SnapshotManifest> = {}): Promise<SnapshotManifest> {
  const dev = randomBytes(512);
  const files = { disk: randomBytes(256 * 1024), ram: randomBytes(64 * 1024), dev, kernel: 'kernel', initrd: 'initrd' };
  for (const [name, bytes] of Object.entries(files)) await writeSynced(path.join(draft.path, name), bytes);
  await fs.truncate(path.join(draft.path, 'ram'), ramMib * 2 ** 20);
  const session = path.join(await draft.makeSessionsDir(), '1');
  await fs.mkdir(session);
  await writeSynced(path.join(session, 'journal'), 'output');
  return {
    version: 1,
    kind: 'memory',
    shape: { cpus: 1, ramMib, storageGb: 1 },
    image: { name: 'minimal', digest: 'cafe'.repeat(4) },
    guest: { digest: 'beef'.repeat(4), protocol: 1 },
    identity: null,
    sizes: { disk: files.disk.length, ram: ramMib * 2 ** 20, dev: dev.length },
    devSha256: createHash('sha256').update(dev).digest('hex'),
    sessions: [{ id: '1', endOffset: 6 }],
    createdAt: '2026-01-01T00:00:00Z',
    ...more,
  };
}

/** Whether two files consist of the same blocks of the disk, and of some. */
export async function shareBlocks(one: string, other: string): Promise<boolean> {
  const [extents, others] = [await extentsOf(one), await extentsOf(other)];
  return extents.length > 0 && extents.join() === others.join();
}

/** Physical extents of a file, as filefrag names them. */
async function extentsOf(file: string): Promise<string[]> {
  const text = await tool('filefrag', '-s', '-v', file);
  return [...text.matchAll(/^ *\d+: +(\d+\.\. *\d+): +(\d+\.\. *\d+):/gm)].map(([, logical, physical]) =>
    `${logical} at ${physical}`.replaceAll(' ', ''),
  );
}

async function writeSynced(file: string, bytes: string | Uint8Array): Promise<void> {
  const handle = await fs.open(file, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
