import { constants, copyFile, mkdir, open, readdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { decodeHeader, encodeHeader, recordHeaderBytes } from './journal/record.ts';
import { readFully, scanSegment, segmentStart } from './journal/segment.ts';
import { type SessionManifest, manifestName } from './manifest.ts';
import { syncPath } from './sync-path.ts';

/** Writes a session's record and its journal up to `endOffset` into `to`, which does not exist yet, and makes them durable. What is dropped meanwhile is left out. */
export async function exportSession(
  from: string,
  to: string,
  manifest: SessionManifest,
  endOffset: number,
): Promise<void> {
  await mkdir(to);
  const starts = (await readdir(from))
    .map((name) => ({ name, start: segmentStart(name) }))
    .filter((one) => one.start !== undefined && one.start < endOffset);
  for (const { name, start } of starts) {
    if (start === undefined || !(await copyIfThere(path.join(from, name), path.join(to, name)))) continue;
    await cutSegment(path.join(to, name), start, endOffset);
    await syncPath(path.join(to, name));
  }
  await writeFile(path.join(to, manifestName), JSON.stringify(manifest));
  await syncPath(path.join(to, manifestName));
  await syncPath(to);
}

/** Copies a session's directory, blocks shared where the file system can. */
export async function copySession(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(from))
    if (name === manifestName || segmentStart(name) !== undefined)
      await copyIfThere(path.join(from, name), path.join(to, name));
}

async function copyIfThere(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return true;
  } catch (error) {
    // A bounded journal drops its oldest segment at any time.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

/** Cuts a copied segment so that it ends at `endOffset`, within a record if need be. */
async function cutSegment(file: string, start: number, endOffset: number): Promise<void> {
  const segment = await scanSegment(file, start);
  if (segment.end <= endOffset) {
    await truncate(file, segment.fileBytes);
    return;
  }
  await using handle = await open(file, 'r+');
  const buffer = Buffer.alloc(recordHeaderBytes);
  for (let at = segment.seek(endOffset); at < segment.fileBytes;) {
    await readFully(handle, buffer, at);
    const header = decodeHeader(buffer, 0);
    if (header === undefined || header.offset >= endOffset) {
      await handle.truncate(at);
      return;
    }
    if (header.offset + header.length > endOffset) {
      const length = endOffset - header.offset;
      await handle.write(encodeHeader({ ...header, length }), 0, recordHeaderBytes, at);
      await handle.truncate(at + recordHeaderBytes + length);
      return;
    }
    at += recordHeaderBytes + header.length;
  }
}
