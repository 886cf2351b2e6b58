import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';

const keyBytes = 32;

/** The key that signs what browsers carry: made once, for the owner of the file alone. Who has it can enter every sprite. */
export async function edgeKey(file: string): Promise<Buffer> {
  try {
    const handle = await fs.open(file, 'wx', 0o600);
    try {
      await handle.writeFile(randomBytes(keyBytes));
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const key = await fs.readFile(file);
  if (key.length !== keyBytes)
    throw new Error(`${file} is no key of the edge: remove it, and everybody has to log in again`);
  return key;
}
