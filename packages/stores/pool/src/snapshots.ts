import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { SylphError, snapshotManifest, type SnapshotManifest } from '@sylph/model';
import type { Snapshot, SnapshotDraft } from '@sylph/engine';
import { entries, errno, exists, guardSpace, reflink, syncDirectory, writeSynced } from './files.ts';
import { temporaryName, unfinishedPrefix } from './trash.ts';

const manifestName = 'snapshot.json';
/** Largest manifest believed, bytes. */
const maxManifestBytes = 1 << 20;

/** Reads a snapshot; undefined when there is none. Throws `vm_failed` when its manifest is damaged. */
export async function readSnapshot(directory: string): Promise<Snapshot | undefined> {
  const manifest = await readManifest(directory);
  return manifest && { path: directory, manifest };
}

/** Reads `snapshot.json` of a directory. */
export async function readManifest(directory: string): Promise<SnapshotManifest | undefined> {
  const file = path.join(directory, manifestName);
  let text: string;
  try {
    if ((await fs.stat(file)).size > maxManifestBytes) throw damaged(directory, 'it is far too large');
    text = await fs.readFile(file, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return snapshotManifest.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(directory, error instanceof Error ? error.message : String(error), error);
  }
}

function damaged(directory: string, why: string, cause?: unknown): SylphError {
  return new SylphError('vm_failed', `the manifest of ${path.basename(directory)} is damaged: ${why}`, {
    cause,
    context: { directory },
  });
}

/** Writes a manifest into a directory under construction. */
export async function writeManifest(directory: string, manifest: SnapshotManifest): Promise<void> {
  await writeSynced(
    path.join(directory, manifestName),
    `${JSON.stringify(snapshotManifest.parse(manifest), null, 2)}\n`,
  );
}

/** Builds a snapshot beside its place and renames it in. */
export class Draft implements SnapshotDraft {
  readonly path: string;
  readonly #target: string | undefined;
  #committed = false;

  private constructor(directory: string, target: string | undefined) {
    this.path = directory;
    this.#target = target;
  }

  /** `target` undefined: a transient snapshot, which stays where it was built and is removed on dispose even after `commit`. */
  static async open(shelf: string, target: string | undefined): Promise<Draft> {
    const directory = path.join(shelf, temporaryName(unfinishedPrefix));
    await guardSpace('the snapshot', async () => {
      await fs.mkdir(shelf, { recursive: true, mode: 0o711 });
      await fs.mkdir(directory, { mode: 0o700 });
    });
    return new Draft(directory, target);
  }

  async makeSessionsDir(): Promise<string> {
    const directory = path.join(this.path, 'sessions');
    await fs.mkdir(directory, { mode: 0o700 });
    return directory;
  }

  async commit(manifest: SnapshotManifest): Promise<Snapshot> {
    return guardSpace('the snapshot', async () => {
      await writeManifest(this.path, manifest);
      if (this.#target === undefined) return { path: this.path, manifest };
      // A directory renamed over an empty one would succeed; a snapshot is never replaced.
      if (await exists(this.#target)) throw new Error(`${this.#target} exists already`);
      await syncDirectory(this.path);
      await fs.rename(this.path, this.#target);
      this.#committed = true;
      await syncDirectory(path.dirname(this.#target));
      return { path: this.#target, manifest };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#committed) await fs.rm(this.path, { recursive: true, force: true });
  }
}

/** Links files that never change. */
export async function linkAll(from: string, to: string, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => fs.link(path.join(from, name), path.join(to, name))));
}

/** Everything of a snapshot but its manifest: disk reflinked, the rest linked, journals reflinked. */
export async function copySnapshotFiles(snapshot: Snapshot, to: string): Promise<void> {
  const memory = snapshot.manifest.kind === 'memory' ? ['ram', 'dev'] : [];
  await reflink(path.join(snapshot.path, 'disk'), path.join(to, 'disk'));
  await linkAll(snapshot.path, to, [...memory, 'kernel', 'initrd']);
  await copyJournals(path.join(snapshot.path, 'sessions'), path.join(to, 'sessions'));
}

/** Copies journals: they are appended to later, so they are reflinked, not linked. */
export async function copyJournals(from: string, to: string): Promise<void> {
  const sessions = await entries(from);
  if (sessions.length === 0) return;
  await fs.mkdir(to, { recursive: true, mode: 0o700 });
  for (const session of sessions) {
    await fs.mkdir(path.join(to, session), { mode: 0o700 });
    for (const file of await entries(path.join(from, session)))
      await reflink(path.join(from, session, file), path.join(to, session, file));
  }
}

/** What is wrong with a snapshot, as far as sizes and the hash of the device state tell. */
export async function findDamage(snapshot: Snapshot): Promise<string | undefined> {
  const { manifest } = snapshot;
  const sizes = Object.entries(manifest.sizes).filter(([name]) => name === 'disk' || manifest.kind === 'memory');
  for (const [name, wanted] of sizes) {
    const size = await fs.stat(path.join(snapshot.path, name)).then(
      (stat) => stat.size,
      () => -1,
    );
    if (size !== wanted)
      return size < 0 ? `its file ${name} is missing` : `its file ${name} has ${size} bytes instead of ${wanted}`;
  }
  if (manifest.kind === 'memory' && manifest.devSha256 !== undefined) {
    const hash = createHash('sha256')
      .update(await fs.readFile(path.join(snapshot.path, 'dev')))
      .digest('hex');
    if (hash !== manifest.devSha256) return 'its device state does not have the hash it was saved with';
  }
  return undefined;
}
