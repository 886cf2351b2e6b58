import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';

const keyBytes = 32;

/** The key that signs what browsers carry: made once, whole or not at all, for the owner of the file alone. Who has it can enter every sprite. */
export async function edgeKey(file: string): Promise<Buffer> {
  const key = (await read(file)) ?? (await make(file));
  if (key.length !== keyBytes)
    throw new Error(`${file} is no key of the edge: remove it, and everybody has to log in again`);
  return key;
}

async function read(file: string): Promise<Buffer | undefined> {
  try {
    return await fs.readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function make(file: string): Promise<Buffer> {
  const key = randomBytes(keyBytes);
  const beside = `${file}.new`;
  await fs.rm(beside, { force: true });
  {
    await using handle = await fs.open(beside, 'wx', 0o600);
    await handle.writeFile(key);
    await handle.sync();
  }
  await fs.rename(beside, file);
  await using directory = await fs.open(path.dirname(file), 'r');
  await directory.sync();
  return key;
}
