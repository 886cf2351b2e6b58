import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { SpriteFiles } from '@sylph/client';
import { CliError } from '../failure.ts';
import { home } from './endpoint.ts';

/** Largest file that is edited, bytes. */
const maxEditedBytes = 64 * 2 ** 20;

/** What a file is, as far as edits collide: undefined where there is none. */
type Version = { size: number; modTime: string } | undefined;

/** Lets a person edit a file of a sprite; whether it was written back. Whatever fails after the editing keeps the text and says where. */
export async function edit(
  files: SpriteFiles,
  path: string,
  { asRoot, env }: { asRoot: boolean; env: NodeJS.ProcessEnv },
): Promise<boolean> {
  const options = { workingDir: home, asRoot };
  const editor = env['VISUAL'] || env['EDITOR'] || 'vi';
  const before = await versionOf(files, path, options);
  if (before !== undefined && before.size > maxEditedBytes)
    throw new CliError(`${path} is too large to edit`, { code: 'EFBIG', hint: 'copy it with sylph cp' });
  const original = before === undefined ? new Uint8Array() : await files.readBytes(path, options);
  // mkdtemp's directories are for their owner alone.
  const dir = await mkdtemp(join(tmpdir(), 'sylph-edit-'));
  const local = join(dir, basename(path));
  await writeFile(local, original, { mode: 0o600 });
  try {
    await run(editor, local, env);
    const edited = await readFile(local);
    if (edited.equals(original)) {
      await rm(dir, { recursive: true });
      return false;
    }
    if (!isDeepStrictEqual(await versionOf(files, path, options), before))
      throw new CliError(`${path} has changed in the sprite while you edited it`, { code: 'conflict' });
    await files.write(path, edited, options);
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    throw new CliError(message, { code: code ?? 'failed', hint: `your text is kept in ${local}`, cause: error });
  }
  await rm(dir, { recursive: true });
  return true;
}

async function versionOf(
  files: SpriteFiles,
  path: string,
  options: { workingDir: string; asRoot: boolean },
): Promise<Version> {
  try {
    const found = await files.stat(path, options);
    if (found.isDir) throw new CliError(`${path} is a directory`, { code: 'EISDIR' });
    return { size: found.size, modTime: found.modTime };
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** An editor may come with arguments: a shell reads it, as for git. */
function run(editor: string, local: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', local], { stdio: 'inherit', env });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new CliError(`${editor} ended with ${signal ?? code}`, { code: 'editor_failed' }));
    });
  });
}
