import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CliError } from '../failure.ts';

/** Which sprite a directory belongs to. */
export interface SpriteFile {
  path: string;
  sprite: string;
  organization: string | undefined;
}

const fileName = '.sprite';

/** The nearest `.sprite` file of a directory and those above it. A directory of that name is not one: some installers leave it in the home directory. */
export async function findSpriteFile(from: string): Promise<SpriteFile | undefined> {
  for (let directory = from; ; directory = dirname(directory)) {
    const path = join(directory, fileName);
    if (await isFile(path)) return parse(path, await readFile(path, 'utf8'));
    if (directory === dirname(directory)) return undefined;
  }
}

/** Writes the `.sprite` file of a directory. */
export async function writeSpriteFile(
  directory: string,
  entry: { sprite: string; organization: string | undefined },
): Promise<string> {
  const path = join(directory, fileName);
  try {
    await writeFile(
      path,
      `${JSON.stringify({ organization: entry.organization, sprite: entry.sprite }, undefined, 2)}\n`,
    );
  } catch (cause) {
    const isDirectory = (cause as NodeJS.ErrnoException).code === 'EISDIR';
    throw new CliError(
      isDirectory
        ? `${path} is a directory, so this directory cannot have its own sprite`
        : `${path} cannot be written: ${(cause as Error).message}`,
      {
        hint: isDirectory ? 'use another directory, or name the sprite with -s' : undefined,
        cause,
      },
    );
  }
  return path;
}

export async function removeSpriteFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    // Missing, or in a directory that may not be searched: not ours.
    return false;
  }
}

function parse(path: string, text: string): SpriteFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, cause);
  }
  const { sprite, organization } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  if (typeof sprite !== 'string' || sprite === '') throw damaged(path);
  return {
    path,
    sprite,
    organization: typeof organization === 'string' && organization !== '' ? organization : undefined,
  };
}

function damaged(path: string, cause?: unknown): CliError {
  return new CliError(`${path} names no sprite`, {
    code: 'bad_config',
    hint: 'write it anew with `sylph use NAME`, or remove it',
    cause,
  });
}
