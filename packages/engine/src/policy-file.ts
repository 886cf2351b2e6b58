import { setTimeout as sleep } from 'node:timers/promises';
import type { SpriteActor } from './actor/actor.ts';
import type { AwakeVm } from './actor/awake.ts';
import { GuestFileError, type FileTarget, type GuestFiles } from './interfaces/guest-files.ts';
import { networkPolicyInForce } from './policy-in-force.ts';

const target: FileTarget = { path: '/.sprite/policy/network.json', user: 'root' };
/** A sprite that has just started is left to its first commands for so long. */
const settleMs = 2_000;
/** Reading and writing, in all. */
const deadlineMs = 5_000;

/** Brings the policy that programs of a sprite can read up to date once it has started: it may be one of a checkpoint, or of another sprite. Ends with the watches of the VM. */
export function keepPolicyFile(actor: SpriteActor, awake: AwakeVm): void {
  const { signal } = awake.watch;
  void sleep(settleMs, undefined, { signal, ref: false }).then(
    () => writePolicyFile(actor, awake),
    // The VM has ended before.
    () => undefined,
  );
}

/** Writes the policy in force for the sprite's programs to read, where it differs from what stands there. Never rejects: the file enforces nothing, and the next start tries again. */
export async function writePolicyFile(actor: SpriteActor, awake: AwakeVm): Promise<void> {
  const signal = AbortSignal.any([awake.watch.signal, AbortSignal.timeout(deadlineMs)]);
  try {
    const { policy } = await networkPolicyInForce(actor.deps, actor.row);
    const bytes = Buffer.from(`${JSON.stringify(policy, undefined, 2)}\n`);
    const { files } = awake.channel;
    if (await holds(files, bytes, signal)) return;
    await files.write(target, once(bytes), { mode: '0444', parents: true, lengthBytes: bytes.length, signal });
  } catch (error) {
    if (!awake.watch.signal.aborted) actor.log.warn({ err: error }, 'the policy could not be written into the sprite');
  }
}

async function holds(files: GuestFiles, wanted: Buffer, signal: AbortSignal): Promise<boolean> {
  try {
    const content = await files.read(target, { offset: 0, lengthBytes: wanted.length }, { signal });
    const chunks: Uint8Array[] = [];
    for await (const chunk of content.bytes) chunks.push(chunk);
    return content.sizeBytes === wanted.length && Buffer.concat(chunks).equals(wanted);
  } catch (error) {
    // It is not there, or something else is: writing it says more.
    if (error instanceof GuestFileError) return false;
    throw error;
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
