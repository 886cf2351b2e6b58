import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { ResumeEvent, SnapshotManifest } from '@sylph/model';

/** Bytes of host entropy given to a guest at every start; the kernel's generator takes 32 for a full reseed. */
const entropyBytes = 64;

/** What a guest is told at a start. `newIdentity` when the memory or disk holds another sprite's identity, or none. */
export function resumeEvent(sprite: { id: string; name: string }, manifest: SnapshotManifest): ResumeEvent {
  return {
    time: (BigInt(Date.now()) * 1_000_000n).toString(),
    entropy: randomBytes(entropyBytes).toString('base64'),
    generationId: randomUUID(),
    hostname: sprite.name,
    spriteId: sprite.id,
    machineId: machineId(sprite.id),
    newIdentity: manifest.identity !== sprite.id,
  };
}

/** A machine-id that is the sprite's for ever: 32 hex digits derived from its id. */
export function machineId(spriteId: string): string {
  return createHash('sha256').update(`sylph machine-id ${spriteId}`).digest('hex').slice(0, 32);
}
