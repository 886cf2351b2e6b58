import { createHash } from 'node:crypto';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { SpriteFiles } from '@sylph/client';
import { CliError } from '../failure.ts';
import { bytes as size } from '../output/human.ts';
import { isDirectory, meansContent, type Copied, type CopyOptions } from './copying.ts';
import { home } from './endpoint.ts';

/** Copies a file or directory of a sprite to this machine, to `dest` or, where that is a directory, into it. */
export async function pull(files: SpriteFiles, source: string, dest: string, options: CopyOptions): Promise<Copied> {
  const path = { workingDir: home, asRoot: options.asRoot };
  const info = await files.stat(source, path);
  const here = await stat(dest).catch(() => undefined); // not there, or what comes next says why
  if (info.isDir && !options.recursive) throw isDirectory(source);
  if (here === undefined && dest.endsWith('/') && !info.isDir)
    throw new CliError(`${dest} is no directory`, { code: 'ENOENT' });
  if (info.isDir && here !== undefined && !here.isDirectory())
    throw new CliError(`${dest} is no directory`, { code: 'ENOTDIR' });
  const inside = here?.isDirectory() === true && !(info.isDir && meansContent(source));
  const to = inside ? join(dest, basename(posix.resolve(home, source))) : dest;
  return info.isDir ? pullTree(files, source, to, options) : pullFile(files, info, to, options);
}

async function pullTree(files: SpriteFiles, source: string, to: string, { asRoot, say }: CopyOptions): Promise<Copied> {
  // Loaded by those who need it.
  const { unpackTar } = await import('modern-tar/fs');
  const archive = await files.archive(source, { workingDir: home, asRoot });
  await mkdir(to, { recursive: true });
  let received = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of archive.bytes) {
      received += piece.length;
      say(`copying to ${to}: ${size(received)} of ${size(archive.contentBytes)}`);
      yield piece;
    }
  }
  const skipped: string[] = [];
  const filter = ({ type, name, linkname = '' }: { type?: string; name: string; linkname?: string }): boolean => {
    if (type !== 'symlink' || staysInside(name, linkname)) return true;
    skipped.push(posix.normalize(name));
    return false;
  };
  await pipeline(counted(), unpackTar(to, { filter }));
  return {
    from: source,
    to,
    bytes: archive.contentBytes,
    entries: archive.entries - skipped.length,
    ...(skipped.length === 0 ? {} : { skipped }),
  };
}

/** Whether a link of an archive leads to something of it. What a sprite links to outside is not on this machine, and the next copy could be led there. */
function staysInside(name: string, target: string): boolean {
  if (posix.isAbsolute(target)) return false;
  const to = posix.join(posix.dirname(name), target);
  return to !== '..' && !to.startsWith('../');
}

/** The file grows beside its place under a name that tells which version it is of, so that a second run goes on with it. */
async function pullFile(
  files: SpriteFiles,
  info: { path: string; size: number; modTime: string },
  to: string,
  { asRoot, say }: CopyOptions,
): Promise<Copied> {
  const version = createHash('sha256')
    .update(JSON.stringify([info.path, info.size, info.modTime]))
    .digest('hex')
    .slice(0, 16);
  const part = join(dirname(to), `.${basename(to).slice(0, 200)}.sylph-${version}`);
  const file = await open(part, 'a', 0o600);
  try {
    let at = (await file.stat()).size;
    if (at >= info.size) {
      await file.truncate(0);
      at = 0;
    }
    const content = await files.read(info.path, { asRoot, offset: at });
    for await (const piece of content.bytes) {
      await file.writeFile(piece);
      at += piece.length;
      say(`copying to ${to}: ${size(at)} of ${size(content.sizeBytes)}`);
    }
    await file.chmod(content.mode & 0o777);
    await file.sync();
    await rename(part, to);
    return { from: info.path, to, bytes: at };
  } finally {
    await file.close();
  }
}
