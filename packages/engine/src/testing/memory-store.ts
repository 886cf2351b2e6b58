import type { CheckpointId, Digest, SnapshotManifest, SpriteId } from '@sylph/model';
import { SylphError } from '@sylph/model';
import type { BootSource, PoolStore, Snapshot, SnapshotDraft, SweepReport, VmDir } from '../interfaces/pool-store.ts';
import type { MemoryFiles } from './memory-files.ts';

const guestFiles = ['kernel', 'initrd'];
let drafts = 0;

/** {@link PoolStore} with its promises, in memory. The layout is that of ARCHITECTURE.md; a disk that reads `damaged` has the wrong size. */
export class MemoryStore implements PoolStore {
  readonly #files: MemoryFiles;
  readonly #guard: (draft: SnapshotDraft) => SnapshotDraft;

  /** `guard` is put around every draft. */
  constructor(files: MemoryFiles, guard: (draft: SnapshotDraft) => SnapshotDraft) {
    this.#files = files;
    this.#guard = guard;
  }

  async genesis(key: string): Promise<Snapshot | undefined> {
    return this.#snapshot(`genesis/${key}`);
  }

  async draftGenesis(key: string): Promise<SnapshotDraft> {
    return this.#draft('genesis', `genesis/${key}`);
  }

  async genesisKeys(): Promise<string[]> {
    return this.#files.entries('genesis').filter((name) => !name.startsWith('new-'));
  }

  async removeGenesis(key: string): Promise<void> {
    this.#files.removeTree(`genesis/${key}`);
  }

  async genesisVmDirs(): Promise<VmDir[]> {
    return this.#files.entries('transient').map((name) => ({ path: `transient/${name}`, number: 0 }));
  }

  async openGenesisVm(source: BootSource, manifest: SnapshotManifest): Promise<VmDir> {
    const path = `transient/new-${++drafts}`;
    this.#files.write(`${path}/disk`, `image ${source.imageDigest}`);
    this.#files.write(`${path}/ram`, '');
    for (const file of guestFiles) this.#files.write(`${path}/${file}`, source.guestDigest);
    this.#writeManifest(path, manifest);
    return { path, number: 0 };
  }

  async createSprite(id: SpriteId, snapshot: Snapshot): Promise<void> {
    this.#files.copyTree(snapshot.path, `sprites/${id}/rest`);
    this.#files.removeTree(`sprites/${id}/rest/sessions`);
    this.#files.copyTree(`${snapshot.path}/sessions`, `sprites/${id}/sessions`);
    this.#writeManifest(`sprites/${id}/rest`, snapshot.manifest);
  }

  async removeSprite(id: SpriteId): Promise<void> {
    this.#files.removeTree(`sprites/${id}`);
    this.#files.removeTree(`checkpoints/${id}`);
  }

  async rest(id: SpriteId): Promise<Snapshot | undefined> {
    return this.#snapshot(`sprites/${id}/rest`);
  }

  async draftRest(id: SpriteId): Promise<SnapshotDraft> {
    return this.#draft(`sprites/${id}`, `sprites/${id}/rest`);
  }

  async dropRest(id: SpriteId): Promise<void> {
    this.#files.removeTree(`sprites/${id}/rest`);
  }

  sessionsDir(id: SpriteId): string {
    return `sprites/${id}/sessions`;
  }

  async openVm(
    id: SpriteId,
    snapshot: Snapshot,
    options: { uid: number; memory: boolean; guestDigest?: Digest | undefined },
  ): Promise<VmDir> {
    const number = ((await this.vmDirs(id)).at(-1)?.number ?? 0) + 1;
    const path = `sprites/${id}/vm-${number}`;
    const guestDigest = options.guestDigest ?? snapshot.manifest.guest.digest;
    this.#copy(snapshot.path, path, ['disk', ...(options.memory ? ['ram'] : [])]);
    if (!options.memory) this.#files.write(`${path}/ram`, '');
    for (const file of guestFiles) this.#files.write(`${path}/${file}`, guestDigest);
    this.#writeManifest(path, { ...snapshot.manifest, guest: { ...snapshot.manifest.guest, digest: guestDigest } });
    return { path, number };
  }

  async vmDirs(id: SpriteId): Promise<VmDir[]> {
    return this.#files
      .entries(`sprites/${id}`)
      .filter((name) => name.startsWith('vm-'))
      .map((name) => ({ path: `sprites/${id}/${name}`, number: Number(name.slice('vm-'.length)) }))
      .toSorted((a, b) => a.number - b.number);
  }

  async removeVm(dir: VmDir): Promise<void> {
    this.#files.removeTree(dir.path);
  }

  async vmManifest(dir: VmDir): Promise<SnapshotManifest> {
    const snapshot = this.#snapshot(dir.path);
    if (!snapshot) throw new SylphError('vm_failed', `${dir.path} has no manifest`);
    return snapshot.manifest;
  }

  async fillFromVm(draft: SnapshotDraft, dir: VmDir): Promise<void> {
    this.#copy(dir.path, draft.path, ['disk', ...guestFiles]);
  }

  async linkGuest(draft: SnapshotDraft, dir: VmDir): Promise<void> {
    this.#copy(dir.path, draft.path, guestFiles);
  }

  async fillFromSnapshot(draft: SnapshotDraft, snapshot: Snapshot): Promise<void> {
    this.#copy(snapshot.path, draft.path, [
      'disk',
      ...(snapshot.manifest.kind === 'memory' ? ['ram', 'dev'] : []),
      ...guestFiles,
    ]);
    this.#files.copyTree(`${snapshot.path}/sessions`, `${draft.path}/sessions`);
  }

  journals(snapshot: Snapshot): string | undefined {
    return snapshot.manifest.sessions.length > 0 ? `${snapshot.path}/sessions` : undefined;
  }

  async damage({ path, manifest }: Snapshot): Promise<string | undefined> {
    const disk = this.#files.read(`${path}/disk`);
    if (disk === undefined || disk === 'damaged') return 'its file disk is damaged';
    if (manifest.kind === 'memory' && this.#files.read(`${path}/dev`) !== manifest.devSha256)
      return 'its device state does not have the hash it was saved with';
    return undefined;
  }

  async checkpoint(id: SpriteId, checkpoint: CheckpointId): Promise<Snapshot | undefined> {
    return this.#snapshot(`checkpoints/${id}/${checkpoint}`);
  }

  async draftCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<SnapshotDraft> {
    return this.#draft(`checkpoints/${id}`, `checkpoints/${id}/${checkpoint}`);
  }

  async removeCheckpoint(id: SpriteId, checkpoint: CheckpointId): Promise<void> {
    this.#files.removeTree(`checkpoints/${id}/${checkpoint}`);
  }

  async draftTransient(): Promise<SnapshotDraft> {
    return this.#draft('transient', undefined);
  }

  async sweep(known: {
    sprites: ReadonlySet<string>;
    checkpoints(id: SpriteId): Promise<ReadonlySet<string>>;
  }): Promise<SweepReport> {
    const notices: string[] = [];
    const remove = (path: string): void => {
      this.#files.removeTree(path);
      notices.push(`removed ${path}`);
    };
    for (const shelf of ['genesis', 'transient', 'sprites', 'checkpoints']) {
      for (const name of this.#files.entries(shelf)) {
        if (name.startsWith('new-') || (['sprites', 'checkpoints'].includes(shelf) && !known.sprites.has(name)))
          remove(`${shelf}/${name}`);
      }
    }
    for (const id of known.sprites) {
      for (const name of this.#files.entries(`sprites/${id}`))
        if (name.startsWith('new-')) remove(`sprites/${id}/${name}`);
      const rows = await known.checkpoints(id);
      for (const name of this.#files.entries(`checkpoints/${id}`))
        if (!rows.has(name)) remove(`checkpoints/${id}/${name}`);
    }
    return { notices };
  }

  async allocatedBytes(snapshot: Snapshot): Promise<number> {
    return this.#files.under(snapshot.path).length;
  }

  async capacity(): Promise<{ totalBytes: number; freeBytes: number }> {
    return { totalBytes: 2 ** 40, freeBytes: 2 ** 40 };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #snapshot(path: string): Snapshot | undefined {
    const text = this.#files.read(`${path}/snapshot.json`);
    if (text === undefined) return undefined;
    if (text === 'damaged') throw new SylphError('vm_failed', `the manifest of ${path} is damaged`);
    return { path, manifest: JSON.parse(text) as SnapshotManifest };
  }

  #writeManifest(path: string, manifest: SnapshotManifest): void {
    this.#files.write(`${path}/snapshot.json`, JSON.stringify(manifest));
  }

  #copy(from: string, to: string, names: readonly string[]): void {
    for (const name of names) {
      const text = this.#files.read(`${from}/${name}`);
      if (text === undefined) throw new Error(`ENOENT: ${from}/${name}`);
      this.#files.write(`${to}/${name}`, text);
    }
  }

  #draft(shelf: string, target: string | undefined): SnapshotDraft {
    const files = this.#files;
    const path = `${shelf}/new-${++drafts}`;
    files.write(`${path}/.draft`, '');
    let committed = false;
    return this.#guard({
      path,
      makeSessionsDir: async () => {
        if (files.has(`${path}/sessions`)) throw new Error(`EEXIST: ${path}/sessions`);
        return `${path}/sessions`;
      },
      commit: async (manifest) => {
        files.write(`${path}/snapshot.json`, JSON.stringify(manifest));
        if (target === undefined) return { path, manifest };
        if (files.has(target)) throw new Error(`${target} exists already`);
        files.remove(`${path}/.draft`);
        files.moveTree(path, target);
        committed = true;
        return { path: target, manifest };
      },
      [Symbol.asyncDispose]: async () => {
        if (!committed) files.removeTree(path);
      },
    });
  }
}
