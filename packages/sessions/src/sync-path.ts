import { open } from 'node:fs/promises';

/** Makes a file or directory durable against a loss of power. */
export async function syncPath(file: string): Promise<void> {
  await using handle = await open(file, 'r');
  await handle.sync();
}
