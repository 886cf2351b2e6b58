import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { sessionId } from '@sylph/model';
import { type SessionManifest, manifestName, readManifest } from './manifest.ts';

/** What cannot be read is put there, for a person to look at. */
const quarantineName = 'quarantine';

/** A session's record and where it lies. */
export interface Found {
  manifest: SessionManifest;
  dir: string;
}

type Notice = (message: string, fields: Record<string, unknown>) => void;

/** Sessions in a directory: running ones by id, then ended ones by when they ended. With a notice for each entry that is no readable session. Changes nothing. */
export async function findSessions(dir: string, notice: Notice): Promise<Found[]> {
  const found: Found[] = [];
  for (const name of await readdir(dir)) {
    if (name === quarantineName) continue;
    try {
      found.push(await readSession(dir, name));
    } catch (error) {
      notice('what is no readable session was passed over', { name, err: error });
    }
  }
  return inOrder(found);
}

/** As {@link findSessions}, in a directory of ours: leftovers of unfinished work are removed, what makes no sense is moved to `quarantine/` with a notice. */
export async function recoverSessions(dir: string, notice: Notice): Promise<Found[]> {
  const found: Found[] = [];
  for (const name of await readdir(dir)) {
    const place = path.join(dir, name);
    if (name === quarantineName) continue;
    try {
      if (isScratch(name)) await rm(place, { recursive: true, force: true });
      else found.push(await readSession(dir, name));
    } catch (error) {
      if (await isUnfinished(place)) await rm(place, { recursive: true, force: true });
      else {
        notice('what is no readable session was put aside', { name, err: error });
        await mkdir(path.join(dir, quarantineName), { recursive: true });
        await rename(place, path.join(dir, quarantineName, `${name}-${randomBytes(4).toString('hex')}`));
      }
    }
  }
  return inOrder(found);
}

/** Path of a directory that does not exist yet and is removed by the next {@link recoverSessions} unless it is renamed. */
export function scratchPath(dir: string): string {
  return path.join(dir, `rm-${randomBytes(6).toString('hex')}`);
}

function isScratch(name: string): boolean {
  return name.startsWith('rm-');
}

async function readSession(dir: string, name: string): Promise<Found> {
  if (!sessionId.safeParse(name).success) throw new Error('not a session id');
  const place = path.join(dir, name);
  const manifest = await readManifest(place);
  if (manifest.id !== name) throw new Error(`the record is of session ${manifest.id}`);
  return { manifest, dir: place };
}

function inOrder(found: Found[]): Found[] {
  const endedAt = ({ end }: SessionManifest): number => (end === undefined ? 0 : Date.parse(end.at));
  return found.toSorted(
    (a, b) => endedAt(a.manifest) - endedAt(b.manifest) || Number(a.manifest.id) - Number(b.manifest.id),
  );
}

/** A start that was cut short before its record was written: nobody was told of it. */
async function isUnfinished(place: string): Promise<boolean> {
  try {
    return !(await readdir(place)).includes(manifestName);
  } catch {
    // Not a directory: nothing of ours.
    return false;
  }
}
