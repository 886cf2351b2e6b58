import type { FileEntry } from '@sylph/model';
import { ClientError } from '../errors.ts';
import type { SpriteFiles } from '../files/files.ts';
import { joinBytes } from '../join-bytes.ts';
import type { CallOptions } from '../sprites.ts';
import { FilesystemError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import type {
  ChangeOptions,
  ChownOptions,
  CopyFileOptions,
  Dirent,
  FilesystemWatchEvent,
  Platform,
  ReaddirOptions,
  RmOptions,
  Stats,
} from './types.ts';

/** Mode of a directory whose own entry nobody may see: that of `/`. */
const unseenMode = 0o755;

/** The files of a sprite as `node:fs/promises` has them. Relative paths begin at `workingDir`. Refusals are {@link FilesystemError}. For streams, archives and resumed uploads there are the client's `files`. */
export class SpriteFilesystem<Bytes extends Uint8Array = Uint8Array> {
  readonly #files: SpriteFiles;
  readonly #workingDir: string;
  readonly #bytes: (value: Uint8Array) => Bytes;

  constructor(files: SpriteFiles, workingDir: string, platform: Pick<Platform<Bytes, never>, 'bytes'>) {
    this.#files = files;
    this.#workingDir = workingDir;
    this.#bytes = (value) => platform.bytes(value);
  }

  readFile(path: string, encoding: 'utf8', options?: CallOptions): Promise<string>;
  readFile(path: string, encoding?: null, options?: CallOptions): Promise<Bytes>;
  readFile(path: string, encoding?: 'utf8' | null, options: CallOptions = {}): Promise<string | Bytes> {
    return this.#asked('read', path, options, async (where) => {
      const bytes = await this.#files.readBytes(path, where);
      return encoding === 'utf8' ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) : this.#bytes(bytes);
    });
  }

  /** Makes missing directories above. */
  writeFile(
    path: string,
    data: string | Uint8Array,
    options: CallOptions & { mode?: number | undefined } = {},
  ): Promise<void> {
    return this.#asked('write', path, options, async (where) => {
      await this.#files.write(path, data, { ...where, mode: options.mode, mkdirs: true });
    });
  }

  /** Not atomic: the file is read and written anew. */
  async appendFile(path: string, data: string | Uint8Array, options: CallOptions = {}): Promise<void> {
    const present = await this.readFile(path, null, options).catch((error: unknown) => {
      if (error instanceof FilesystemError && error.code === 'ENOENT') return new Uint8Array(0);
      throw error;
    });
    const more = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    await this.writeFile(path, joinBytes([present, more]), options);
  }

  readdir(path: string, options?: ReaddirOptions & { withFileTypes?: false | undefined }): Promise<string[]>;
  readdir(path: string, options: ReaddirOptions & { withFileTypes: true }): Promise<Dirent[]>;
  readdir(path: string, options: ReaddirOptions = {}): Promise<string[] | Dirent[]> {
    const { recursive, pattern } = options;
    return this.#asked('readdir', path, options, async (where) => {
      const entries = await this.#files.list(path, { ...where, recursive, pattern });
      if (options.withFileTypes !== true) return entries.map(({ name }) => name);
      return entries.map((entry) => ({ name: entry.name, parentPath: path, ...kindOf(entry) }));
    });
  }

  /** Fine for a directory that is there. Without `recursive` the one above has to be. */
  mkdir(
    path: string,
    options: CallOptions & { recursive?: boolean | undefined; mode?: number | undefined } = {},
  ): Promise<void> {
    return this.#asked('mkdir', path, options, async (where) => {
      if (options.recursive !== true) await this.#files.stat(parentOf(path), where);
      await this.#files.mkdir(path, where);
      if (options.mode !== undefined) await this.#files.chmod(path, options.mode, where);
    });
  }

  async rm(path: string, options: RmOptions = {}): Promise<void> {
    try {
      await this.#asked('rm', path, options, (where) => this.#files.remove(path, { ...options, ...where }));
    } catch (error) {
      if (options.force !== true || !(error instanceof FilesystemError) || error.code !== 'ENOENT') throw error;
    }
  }

  /** Links are followed. */
  stat(path: string, options: CallOptions = {}): Promise<Stats> {
    return this.#asked('stat', path, options, async (where) => {
      const found = await this.#files.stat(path, where);
      if (!found.isDir) return statsOf(found);
      // A list of a directory does not describe itself; one of the directory above does.
      const name = nameOf(path);
      const siblings = name === '' ? [] : await this.#files.list(parentOf(path), { ...where, pattern: literal(name) });
      const [own] = siblings.filter((entry) => entry.isDir && entry.name === name);
      return statsOf(own);
    });
  }

  async exists(path: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.#asked('stat', path, options, (where) => this.#files.stat(path, where));
      return true;
    } catch (error) {
      if (error instanceof FilesystemError && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  rename(oldPath: string, newPath: string, options: Omit<ChangeOptions, 'recursive'> = {}): Promise<void> {
    return this.#asked('rename', oldPath, options, (where) => this.#files.rename(oldPath, newPath, where));
  }

  async copyFile(source: string, dest: string, options: CopyFileOptions = {}): Promise<void> {
    await this.#asked('copyFile', source, options, (where) => this.#files.copy(source, dest, { ...options, ...where }));
  }

  async chmod(path: string, mode: number, options: ChangeOptions = {}): Promise<void> {
    await this.#asked('chmod', path, options, (where) => this.#files.chmod(path, mode, { ...options, ...where }));
  }

  async chown(path: string, options: ChownOptions): Promise<void> {
    const { uid, gid } = options;
    if (uid === undefined && gid === undefined) throw new TypeError('uid or gid is required');
    await this.#asked('chown', path, options, (where) =>
      this.#files.chown(path, { uid, gid }, { ...options, ...where }),
    );
  }

  /** `subscribed` first, then every change. */
  watch(
    paths: string | string[],
    options: CallOptions & { recursive?: boolean | undefined } = {},
  ): Promise<EventStream<FilesystemWatchEvent>> {
    const all = typeof paths === 'string' ? [paths] : paths;
    return this.#asked('watch', all[0] ?? '', options, (where) =>
      EventStream.open<FilesystemWatchEvent>(async (signal) => {
        const changes = await this.#files.watch(all, { ...where, recursive: options.recursive, signal });
        return (async function* () {
          yield { type: 'subscribed', paths: all } as const;
          yield* changes;
        })();
      }, options.signal),
    );
  }

  async readJSON<T = unknown>(path: string, options: CallOptions = {}): Promise<T> {
    return JSON.parse(await this.readFile(path, 'utf8', options)) as T;
  }

  writeJSON(path: string, data: unknown, options: CallOptions & { spaces?: number | undefined } = {}): Promise<void> {
    return this.writeFile(path, JSON.stringify(data, undefined, options.spaces ?? 2), options);
  }

  /** Does something about a path; a refusal by the server names the path and what was asked. */
  async #asked<T>(
    syscall: string,
    path: string,
    options: CallOptions & { asRoot?: boolean | undefined },
    work: (where: { workingDir: string; signal: AbortSignal | undefined; asRoot: boolean | undefined }) => Promise<T>,
  ): Promise<T> {
    try {
      return await work({ workingDir: this.#workingDir, signal: options.signal, asRoot: options.asRoot });
    } catch (thrown) {
      if (thrown instanceof ClientError && /^E[A-Z]+$/.test(thrown.code))
        throw FilesystemError.of(thrown, path, syscall);
      throw thrown;
    }
  }
}

function kindOf({
  isDir,
  type,
}: Pick<FileEntry, 'isDir' | 'type'>): Pick<Dirent, 'isDirectory' | 'isFile' | 'isSymbolicLink'> {
  const isLink = type === 'symlink';
  return { isDirectory: () => isDir, isFile: () => !isDir && !isLink, isSymbolicLink: () => isLink };
}

/** Of a directory without an entry of its own, the root, there is little to tell. */
function statsOf(entry: FileEntry | undefined): Stats {
  const time = new Date(entry?.modTime ?? 0);
  return {
    size: entry?.size ?? 0,
    mode: entry === undefined ? unseenMode : parseInt(entry.mode, 8),
    mtime: time,
    atime: time,
    birthtime: time,
    ...kindOf(entry ?? { isDir: true, type: 'directory' }),
  };
}

function nameOf(path: string): string {
  const name = path.replace(/\/+$/, '').replace(/^.*\//, '');
  return name === '.' || name === '..' ? '' : name;
}

function parentOf(path: string): string {
  const parent = path.replace(/\/+$/, '').replace(/[^/]*$/, '');
  return parent === '' ? '.' : parent;
}

/** A pattern that only this name fits. */
function literal(name: string): string {
  return name.replace(/[\\*?[\]]/g, '\\$&');
}
