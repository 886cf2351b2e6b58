import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, posix, resolve } from 'node:path';
import type { SpriteFiles } from '@sylph/client';
import { CliError } from '../failure.ts';
import { bytes as size } from '../output/human.ts';
import { isDirectory, meansContent, type Copied, type CopyOptions } from './copying.ts';
import { home } from './endpoint.ts';

/** Copies a file or directory of this machine into a sprite, to `dest` or, where that is a directory, into it. */
export async function push(files: SpriteFiles, source: string, dest: string, options: CopyOptions): Promise<Copied> {
  const info = await stat(source).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`${source}: ${error.code === 'ENOENT' ? 'no such file or directory' : error.message}`, {
      code: error.code ?? 'failed',
    });
  });
  if (info.isDirectory() && !options.recursive) throw isDirectory(source);
  if (!info.isDirectory() && !info.isFile()) throw new CliError(`${source} is no regular file`, { code: 'EINVAL' });
  const there = await files.stat(dest, { workingDir: home, asRoot: options.asRoot }).catch((error: unknown) => {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  });
  if (there === undefined && dest.endsWith('/') && !info.isDirectory())
    throw new CliError(`${dest} is no directory in the sprite`, { code: 'ENOENT' });
  if (info.isDirectory() && there?.isDir === false)
    throw new CliError(`${dest} in the sprite is no directory`, { code: 'ENOTDIR' });
  const inside = there?.isDir === true && !(info.isDirectory() && meansContent(source));
  const to = inside ? posix.join(dest, basename(resolve(source))) : dest;
  return info.isDirectory() ? pushTree(files, source, to, options) : pushFile(files, source, info, to, options);
}

async function pushTree(files: SpriteFiles, source: string, to: string, { asRoot, say }: CopyOptions): Promise<Copied> {
  // Loaded by those who need it.
  const { packTar } = await import('modern-tar/fs');
  const made = await files.unpack(to, packTar(source), {
    workingDir: home,
    asRoot,
    mkdirs: true,
    onProgress: (sent) => say(`copying to ${to}: ${size(sent)}`),
  });
  return { from: source, to: made.path, bytes: made.totalBytes, entries: made.count };
}

async function pushFile(
  files: SpriteFiles,
  source: string,
  info: { size: number; mode: number; mtimeMs: number },
  to: string,
  { asRoot, say }: CopyOptions,
): Promise<Copied> {
  const content = {
    sizeBytes: info.size,
    from: (offset: number) => createReadStream(source, { start: offset, end: Math.max(info.size - 1, 0) }),
  };
  const written = await files.upload(to, content, {
    workingDir: home,
    asRoot,
    mode: info.mode & 0o777,
    // The same file on its way to the same place goes on where an earlier run broke off.
    id: createHash('sha256')
      .update(JSON.stringify([resolve(source), info.size, info.mtimeMs, to]))
      .digest('hex')
      .slice(0, 32),
    onProgress: (sent, total) => say(`copying to ${to}: ${size(sent)} of ${size(total)}`),
  });
  return { from: source, to: written.path, bytes: written.size };
}
