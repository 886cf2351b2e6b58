import type { CheckpointId, Digest, SnapshotManifest, SpriteId } from '@sylph/model';

/** An immutable snapshot of the pool. `path` holds `snapshot.json`, `disk`, `kernel`, `initrd` and, for `memory`, `ram` and `dev`; `sessions/` where sessions were alive. */
export interface Snapshot {
  readonly path: string;
  readonly manifest: SnapshotManifest;
}

/** A snapshot being built in a `new-*` directory nobody else sees. Dispose without `commit` removes it. */
export interface SnapshotDraft extends AsyncDisposable {
  readonly path: string;
  /** Makes the directory for journals and returns its path. */
  makeSessionsDir(): Promise<string>;
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
export interface PoolStore extends AsyncDisposable {
  /** Snapshot every new sprite of this key starts from. */
  genesis(key: string): Promise<Snapshot | undefined>;
  draftGenesis(key: string): Promise<SnapshotDraft>;
  /** Keys of all geneses, damaged ones too. */
  genesisKeys(): Promise<string[]>;
  /** Sprites made from it are untouched. Idempotent. */
  removeGenesis(key: string): Promise<void>;
  /** Working directories of genesis boots an earlier daemon did not finish. */
  genesisVmDirs(): Promise<VmDir[]>;
  /** Working directory to boot a genesis in; the caller removes it with `removeVm`. */
  openGenesisVm(source: BootSource, manifest: SnapshotManifest, uid: number): Promise<VmDir>;

  /** The sprite's directory with its first `rest/` and journals, copies of the snapshot's. */
  createSprite(id: SpriteId, snapshot: Snapshot): Promise<void>;
  /** Idempotent. */
  removeSprite(id: SpriteId): Promise<void>;
  /** Snapshot the sprite rests in; undefined while it runs. */
  rest(id: SpriteId): Promise<Snapshot | undefined>;
  /** A draft that becomes `rest/`; commit throws when there is one already. */
  draftRest(id: SpriteId): Promise<SnapshotDraft>;
  /** Ends `rest/`: from now on the newest VM directory is the sprite. Synced when it resolves. */
  dropRest(id: SpriteId): Promise<void>;
  /** Where its journals lie. */
  sessionsDir(id: SpriteId): string;

  /**
   * A new working directory from a snapshot: `disk` reflinked and owned by `uid`, `ram` linked when `memory`, else all zeros, kernel and initrd linked (from `guestDigest` where given), `run/` owned by `uid`.
   * The directory itself belongs to root and is readable by the group `uid` alone: a VM can neither read a neighbour's files nor swap its own.
   */
  openVm(
    id: SpriteId,
    snapshot: Snapshot,
    options: { uid: number; memory: boolean; guestDigest?: Digest | undefined },
  ): Promise<VmDir>;
  /** VM directories that exist, newest last. */
  vmDirs(id: SpriteId): Promise<VmDir[]>;
  removeVm(dir: VmDir): Promise<void>;
  /** Manifest a snapshot of this VM starts from: shape, image and guest; written by `openVm`. */
  vmManifest(dir: VmDir): Promise<SnapshotManifest>;

  /** Fills a draft for a disk-only snapshot: the VM's disk, kernel and initrd. The VM must be paused or gone. */
  fillFromVm(draft: SnapshotDraft, dir: VmDir): Promise<void>;
  /** Kernel and initrd of the VM's directory into a draft: a capture writes disk, ram and dev itself. */
  linkGuest(draft: SnapshotDraft, dir: VmDir): Promise<void>;
  /** All files of a snapshot into a draft, journals included. */
  fillFromSnapshot(draft: SnapshotDraft, snapshot: Snapshot): Promise<void>;
  /** Directory of the journals that belong to a snapshot; undefined when no session was alive. */
  journals(snapshot: Snapshot): string | undefined;
  /** Checks what can be checked before a VM is started from a snapshot: sizes, hash of the device state. Resolves with what is wrong, undefined when nothing is. */
  damage(snapshot: Snapshot): Promise<string | undefined>;

  checkpoint(id: SpriteId, checkpoint: CheckpointId): Promise<Snapshot | undefined>;
  draftCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<SnapshotDraft>;
  /** Idempotent. */
  removeCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<void>;
  /** Unnamed snapshot for a fork in progress; `commit` keeps it where it is until it is disposed. */
  draftTransient(): Promise<SnapshotDraft>;

  /** Removes `new-*` and `rm-*`, and directories of sprites and checkpoints the repository does not know. Call once, before anything else. */
  sweep(known: {
    sprites: ReadonlySet<string>;
    checkpoints(id: SpriteId): Promise<ReadonlySet<string>>;
  }): Promise<SweepReport>;
  /** Bytes allocated to a snapshot's files; shared blocks count in each. */
  allocatedBytes(snapshot: Snapshot): Promise<number>;
  capacity(): Promise<{ totalBytes: number; freeBytes: number }>;
}
