import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BootSource, PoolStore, Snapshot, SnapshotDraft, SweepReport, VmDir } from '@sylph/engine';
import type { CheckpointId, Digest, SnapshotManifest, SpriteId } from '@sylph/model';
import { SylphError } from '@sylph/model';
import { allocated, entries, exists, guardSpace, reflink, syncDirectory } from './files.ts';
import { Layout } from './layout.ts';
import {
  copyJournals,
  copySnapshotFiles,
  Draft,
  findDamage,
  linkAll,
  readManifest,
  readSnapshot,
  writeManifest,
} from './snapshots.ts';
import { sweep } from './sweep.ts';
import { isPassing, temporaryName, Trash, unfinishedPrefix } from './trash.ts';

const run = promisify(execFile);
const gib = 2 ** 30;
/** resize2fs on a sparse file of a few hundred megabytes takes under a second; this only ends a hang. */
const resizeTimeoutMs = 120_000;

/** {@link PoolStore} on a directory of a reflink file system. */
export class PoolDirectory implements PoolStore {
  readonly layout: Layout;
  readonly #trash = new Trash();

  /** `root`: see `openPool`. */
  constructor(root: string) {
    this.layout = new Layout(root);
  }

  genesis(key: string): Promise<Snapshot | undefined> {
    return readSnapshot(path.join(this.layout.genesis, key));
  }

  draftGenesis(key: string): Promise<SnapshotDraft> {
    return Draft.open(this.layout.genesis, path.join(this.layout.genesis, key));
  }

  async genesisKeys(): Promise<string[]> {
    return (await entries(this.layout.genesis)).filter((name) => !isPassing(name));
  }

  async removeGenesis(key: string): Promise<void> {
    await this.#trash.remove(path.join(this.layout.genesis, key), { sync: true });
  }

  async genesisVmDirs(): Promise<VmDir[]> {
    const directories = (await entries(this.layout.transient)).map((name) => path.join(this.layout.transient, name));
    const working = await Promise.all(directories.map((directory) => exists(path.join(directory, 'run'))));
    return directories.filter((_, index) => working[index]).map((directory) => ({ path: directory, number: 0 }));
  }

  async openGenesisVm(source: BootSource, manifest: SnapshotManifest, uid: number): Promise<VmDir> {
    return this.#buildVm(this.layout.transient, 0, uid, async (directory) => {
      const disk = path.join(directory, 'disk');
      await reflink(this.layout.image(source.imageDigest), disk);
      await resizeDisk(disk, source.storageGb * gib);
      await linkAll(this.layout.guest(source.guestDigest), directory, ['kernel', 'initrd']);
      await this.#zeroRam(directory, manifest);
      await writeManifest(directory, { ...manifest, sizes: { disk: source.storageGb * gib } });
    });
  }

  async createSprite(id: SpriteId, snapshot: Snapshot): Promise<void> {
    const building = path.join(this.layout.sprites, temporaryName(unfinishedPrefix));
    await guardSpace('the new sprite', async () => {
      try {
        const rest = path.join(building, 'rest');
        await fs.mkdir(rest, { recursive: true, mode: 0o711 });
        await copySnapshotFiles({ ...snapshot }, rest);
        await fs.rm(path.join(rest, 'sessions'), { recursive: true, force: true });
        await copyJournals(path.join(snapshot.path, 'sessions'), path.join(building, 'sessions'));
        await fs.mkdir(path.join(building, 'sessions'), { recursive: true, mode: 0o700 });
        await writeManifest(rest, snapshot.manifest);
        await syncDirectory(rest);
        await fs.rename(building, this.layout.sprite(id));
        await syncDirectory(this.layout.sprites);
      } catch (error) {
        await fs.rm(building, { recursive: true, force: true });
        throw error;
      }
    });
  }

  async removeSprite(id: SpriteId): Promise<void> {
    await this.#trash.remove(this.layout.sprite(id), { sync: true });
    await this.#trash.remove(this.layout.checkpointsOf(id), { sync: true });
  }

  rest(id: SpriteId): Promise<Snapshot | undefined> {
    return readSnapshot(this.layout.rest(id));
  }

  draftRest(id: SpriteId): Promise<SnapshotDraft> {
    return Draft.open(this.layout.sprite(id), this.layout.rest(id));
  }

  async dropRest(id: SpriteId): Promise<void> {
    await this.#trash.remove(this.layout.rest(id), { sync: true });
  }

  sessionsDir(id: SpriteId): string {
    return this.layout.sessions(id);
  }

  async openVm(
    id: SpriteId,
    snapshot: Snapshot,
    options: { uid: number; memory: boolean; guestDigest?: Digest | undefined },
  ): Promise<VmDir> {
    const number = ((await this.vmDirs(id)).at(-1)?.number ?? 0) + 1;
    const { manifest } = snapshot;
    const guestDigest = options.guestDigest ?? manifest.guest.digest;
    return this.#buildVm(this.layout.sprite(id), number, options.uid, async (directory) => {
      const guest = guestDigest === manifest.guest.digest ? snapshot.path : this.layout.guest(guestDigest);
      await reflink(path.join(snapshot.path, 'disk'), path.join(directory, 'disk'));
      await linkAll(guest, directory, ['kernel', 'initrd']);
      if (options.memory) await linkAll(snapshot.path, directory, ['ram']);
      else await this.#zeroRam(directory, manifest);
      await writeManifest(directory, { ...manifest, guest: { ...manifest.guest, digest: guestDigest } });
    });
  }

  async vmDirs(id: SpriteId): Promise<VmDir[]> {
    return (await entries(this.layout.sprite(id)))
      .map((name) => ({ name, number: Number(/^vm-([1-9][0-9]*)$/.exec(name)?.[1]) }))
      .filter(({ number }) => Number.isInteger(number))
      .toSorted((a, b) => a.number - b.number)
      .map(({ name, number }) => ({ path: path.join(this.layout.sprite(id), name), number }));
  }

  async removeVm(dir: VmDir): Promise<void> {
    await this.#trash.remove(dir.path, { sync: false });
  }

  async vmManifest(dir: VmDir): Promise<SnapshotManifest> {
    const manifest = await readManifest(dir.path);
    if (!manifest) throw new SylphError('vm_failed', `the working directory ${dir.path} has no manifest`);
    return manifest;
  }

  async fillFromVm(draft: SnapshotDraft, dir: VmDir): Promise<void> {
    await guardSpace('the copy of the disk', async () => {
      await reflink(path.join(dir.path, 'disk'), path.join(draft.path, 'disk'));
      await linkAll(dir.path, draft.path, ['kernel', 'initrd']);
    });
  }

  async linkGuest(draft: SnapshotDraft, dir: VmDir): Promise<void> {
    await linkAll(dir.path, draft.path, ['kernel', 'initrd']);
  }

  async fillFromSnapshot(draft: SnapshotDraft, snapshot: Snapshot): Promise<void> {
    await guardSpace('the copy of the snapshot', () => copySnapshotFiles(snapshot, draft.path));
  }

  journals(snapshot: Snapshot): string | undefined {
    return snapshot.manifest.sessions.length > 0 ? path.join(snapshot.path, 'sessions') : undefined;
  }

  damage(snapshot: Snapshot): Promise<string | undefined> {
    return findDamage(snapshot);
  }

  checkpoint(id: SpriteId, checkpoint: CheckpointId): Promise<Snapshot | undefined> {
    return readSnapshot(this.layout.checkpoint(id, checkpoint));
  }

  draftCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<SnapshotDraft> {
    return Draft.open(this.layout.checkpointsOf(id), this.layout.checkpoint(id, checkpoint));
  }

  async removeCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<void> {
    await this.#trash.remove(this.layout.checkpoint(id, checkpoint), { sync: true });
  }

  draftTransient(): Promise<SnapshotDraft> {
    return Draft.open(this.layout.transient, undefined);
  }

  sweep(known: {
    sprites: ReadonlySet<string>;
    checkpoints(id: SpriteId): Promise<ReadonlySet<string>>;
  }): Promise<SweepReport> {
    return sweep(this.layout, known);
  }

  allocatedBytes(snapshot: Snapshot): Promise<number> {
    return allocated(snapshot.path);
  }

  async capacity(): Promise<{ totalBytes: number; freeBytes: number }> {
    const stat = await fs.statfs(this.layout.root);
    return { totalBytes: stat.blocks * stat.bsize, freeBytes: stat.bavail * stat.bsize };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#trash.settled();
  }

  /** Builds a working directory beside its place, gives it to the VM's user and renames it in. */
  async #buildVm(
    parent: string,
    number: number,
    uid: number,
    fill: (directory: string) => Promise<void>,
  ): Promise<VmDir> {
    return guardSpace('starting the VM', async () => {
      const building = path.join(parent, temporaryName(unfinishedPrefix));
      try {
        await fs.mkdir(building, { recursive: true, mode: 0o700 });
        await fill(building);
        const disk = path.join(building, 'disk');
        const runDirectory = path.join(building, 'run');
        await fs.mkdir(runDirectory, { mode: 0o700 });
        await Promise.all([
          fs.chown(disk, uid, uid),
          fs.chmod(disk, 0o600),
          fs.chown(runDirectory, uid, uid),
          fs.chown(building, 0, uid),
        ]);
        await fs.chmod(building, 0o750);
        if (number === 0) return { path: building, number };
        const place = path.join(parent, `vm-${number}`);
        await fs.rename(building, place);
        return { path: place, number };
      } catch (error) {
        await fs.rm(building, { recursive: true, force: true });
        throw error;
      }
    });
  }

  async #zeroRam(directory: string, manifest: SnapshotManifest): Promise<void> {
    const handle = await fs.open(path.join(directory, 'ram'), 'wx', 0o444);
    try {
      await handle.truncate(manifest.shape.ramMib * 2 ** 20);
    } finally {
      await handle.close();
    }
  }
}

/** Brings an unmounted ext4 image to a size, growing or shrinking the file system. */
async function resizeDisk(disk: string, sizeBytes: number): Promise<void> {
  await fs.chmod(disk, 0o600);
  const { size } = await fs.stat(disk);
  if (size === sizeBytes) return;
  try {
    if (sizeBytes > size) await fs.truncate(disk, sizeBytes);
    await run('resize2fs', ['-f', disk, `${sizeBytes / 1024}K`], { timeout: resizeTimeoutMs });
    if (sizeBytes < size) await fs.truncate(disk, sizeBytes);
  } catch (error) {
    throw new SylphError('invalid_size', `the image does not fit a disk of ${sizeBytes / gib} GiB`, {
      cause: error,
      hint: 'Ask for a larger storage_gb.',
    });
  }
}
