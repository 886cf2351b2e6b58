import type { CheckpointId, Digest, SnapshotManifest, SpriteId } from '@sylph/model';

/** An immutable snapshot of the pool. `path` holds `snapshot.json`, `disk`, `kernel`, `initrd` and, for `memory`, `ram` and `dev`; `sessions/` where sessions were alive. */
export interface Snapshot {
  readonly path: string;
  readonly manifest: SnapshotManifest;
}

/** A snapshot being built in a `new-*` directory nobody else sees. Dispose without `commit` removes it. */
export interface SnapshotDraft extends AsyncDisposable {
  readonly path: string;
  /** Writes the manifest, syncs, renames in. After it resolves the snapshot survives a power cut. */
  commit(manifest: SnapshotManifest): Promise<Snapshot>;
}

/** Working directory of a VM. */
export interface VmDir {
  readonly path: string;
  readonly number: number;
}

/** What a VM starts from: image, guest, and how large the disk is to be. */
export interface BootSource {
  imageDigest: Digest;
  guestDigest: Digest;
  storageGb: number;
}

/** What the sweep at start removed and what it found broken, as sentences for the log and the person. */
export interface SweepReport {
  notices: string[];
}

/**
 * Files of sprites on a reflink file system. The only code that knows paths of the pool.
 *
 * Everything becomes visible by a rename of a finished, synced directory and vanishes by a rename before it is deleted. Snapshots never change. Copies are reflinks and hard links: cost does not grow with size.
 * Methods for one sprite are called by its actor alone, one at a time; different sprites may be used at once. Full pool: `pool_full`, nothing half-made visible.
 */
export interface PoolStore {
  /** Snapshot every new sprite of this key starts from. */
  genesis(key: string): Promise<Snapshot | undefined>;
  draftGenesis(key: string): Promise<SnapshotDraft>;
  removeGenesis(key: string): Promise<void>;
  /** Fills a draft with disk (resized), kernel and initrd of an image and a guest. */
  fillFromImage(draft: SnapshotDraft, source: BootSource): Promise<void>;

  /** The sprite's directory with its first `rest/`, a copy of `snapshot`. */
  createSprite(id: SpriteId, snapshot: Snapshot, options: { guestDigest?: Digest }): Promise<void>;
  removeSprite(id: SpriteId): Promise<void>;
  /** Snapshot the sprite rests in; undefined while it runs. Throws `vm_failed` with the reason when its manifest is damaged. */
  rest(id: SpriteId): Promise<Snapshot | undefined>;
  /** A draft that becomes `rest/`, replacing one that is there. */
  draftRest(id: SpriteId): Promise<SnapshotDraft>;
  /** Ends `rest/`: from now on the newest VM directory is the sprite. Synced. */
  dropRest(id: SpriteId): Promise<void>;
  /** Where its journals lie. */
  sessionsDir(id: SpriteId): string;

  /** A new working directory from a snapshot: disk reflinked and owned by `uid`; `ram` linked when `memory`, else all zeros; kernel and initrd linked. */
  openVm(id: SpriteId, snapshot: Snapshot, options: { uid: number; memory: boolean }): Promise<VmDir>;
  /** VM directories that exist, newest last. */
  vmDirs(id: SpriteId): Promise<VmDir[]>;
  removeVm(dir: VmDir): Promise<void>;
  /** A draft of a disk-only snapshot gets the VM's disk, kernel and initrd. The VM must be paused or gone. `guestDigest` swaps in another kernel and agent. */
  fillFromVm(draft: SnapshotDraft, dir: VmDir): Promise<void>;
  /** Kernel and initrd of a guest into a draft or VM-less snapshot draft, replacing what is there. */
  putGuest(draft: SnapshotDraft, guestDigest: Digest): Promise<void>;
  /** Kernel and initrd of the VM's own directory linked into a draft (memory captures fill disk, ram and dev themselves). */
  linkGuest(draft: SnapshotDraft, dir: VmDir): Promise<void>;
  /** All files of a snapshot into a draft: reflink and links. `diskOnly` leaves the memory out. */
  fillFromSnapshot(draft: SnapshotDraft, snapshot: Snapshot, options?: { diskOnly?: boolean }): Promise<void>;
  /** Facts about a working directory a lost manifest would have told. Written by `openVm`. */
  vmManifest(dir: VmDir): Promise<SnapshotManifest>;

  checkpoint(id: SpriteId, checkpoint: CheckpointId): Promise<Snapshot | undefined>;
  draftCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<SnapshotDraft>;
  removeCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<void>;
  /** Unnamed snapshot for a fork in progress; dispose removes it. */
  draftTransient(): Promise<SnapshotDraft>;

  /** Removes `new-*` and `rm-*`, and directories of sprites and checkpoints the repository does not know. Call before anything else, once. */
  sweep(known: { sprites: AsyncIterable<SpriteId> | Iterable<SpriteId>; checkpoints(id: SpriteId): Promise<ReadonlySet<string>> }): Promise<SweepReport>;
  /** Bytes allocated below a snapshot or sprite; shared blocks count in each. */
  allocatedBytes(path: string): Promise<number>;
  capacity(): Promise<{ totalBytes: number; freeBytes: number }>;
}
