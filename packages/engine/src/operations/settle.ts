import { SylphError } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { Snapshot, VmDir } from '../interfaces/pool-store.ts';

/**
 * Brings a sprite without a VM of this daemon's to rest, from what exists: see "The truth is what exists" in ARCHITECTURE.md. VMs that are left are ended. Where it rests on nothing, its newest VM's
 * disk becomes what it rests on, and `reason` says what became of the rest of it. Resolves with a sentence when something had to be cleaned up or was lost.
 */
export async function settle(actor: SpriteActor, reason: string): Promise<string | undefined> {
  const { store, network } = actor.deps;
  const { name } = actor.row;
  const found = await restOf(actor);
  const dirs = await store.vmDirs(actor.id);
  await endVms(actor, dirs);
  await network.detach(actor.id);
  if (found instanceof SylphError) {
    await removeVms(actor, dirs);
    return fail(actor, found.message);
  }
  if (found !== undefined) {
    await removeVms(actor, dirs);
    await actor.update({ lastState: found.manifest.kind });
    actor.transition('asleep');
    return dirs.length > 0 ? `${name}: ended a VM whose sprite is at rest` : undefined;
  }
  const newest = dirs.pop();
  await removeVms(actor, dirs);
  if (newest === undefined) return settleOnCheckpoint(actor);
  await restFromVm(actor, newest, reason);
  await actor.update({ lastState: 'disk', reason });
  actor.transition('asleep');
  return `${name}: ${reason}; it boots from its disk at the next use`;
}

/**
 * What a sprite rests on: the error where it is there and damaged, undefined where nothing is. Throws when that cannot be told, which must not be taken for either: the one would give up the sprite's VM,
 * the other its rest.
 */
export async function restOf(actor: SpriteActor): Promise<Snapshot | SylphError | undefined> {
  return actor.deps.store.rest(actor.id).catch((error: unknown) => {
    if (error instanceof SylphError && error.code === 'vm_failed') return error;
    throw error;
  });
}

/** Ends the VMs that run in these directories, of whichever daemon. */
export async function endVms(actor: SpriteActor, dirs: readonly VmDir[]): Promise<void> {
  for (const dir of dirs) await (await actor.deps.driver.adopt(dir.path))?.end();
}

/** Removes the working directories of VMs that are gone. */
export async function removeVms(actor: SpriteActor, dirs: readonly VmDir[]): Promise<void> {
  for (const dir of dirs) await actor.deps.store.removeVm(dir);
}

/** The disk of a VM that is gone becomes what the sprite rests on; sessions that ran in it are lost for this reason. */
export async function restFromVm(actor: SpriteActor, dir: VmDir, reason: string): Promise<Snapshot> {
  const { store } = actor.deps;
  const {
    machine: _machine,
    deviceFormat: _format,
    devSha256: _hash,
    changedRamBytes: _changed,
    ...manifest
  } = await store.vmManifest(dir);
  await (await actor.sessions()).lose(reason);
  await using draft = await store.draftRest(actor.id);
  await store.fillFromVm(draft, dir);
  const rest = await draft.commit({
    ...manifest,
    kind: 'disk',
    // Its agent was told who it is before it became the sprite, whatever it was started from.
    identity: actor.id,
    sizes: { disk: manifest.shape.storageGb * 2 ** 30 },
    sessions: [],
    createdAt: new Date().toISOString(),
  });
  await store.removeVm(dir);
  return rest;
}

/** Nothing but checkpoints is left: the next start goes to the newest. */
async function settleOnCheckpoint(actor: SpriteActor): Promise<string> {
  const reason = 'its files are missing';
  const [newest] = await actor.deps.repository.checkpoints(actor.id);
  if (newest === undefined) return fail(actor, reason);
  await actor.update({ lastState: 'disk', reason });
  actor.transition('asleep');
  return `${actor.row.name}: ${reason}; it boots from its newest checkpoint at the next use`;
}

async function fail(actor: SpriteActor, reason: string): Promise<string> {
  await actor.update({ lastState: 'failed', reason });
  actor.transition('failed');
  return `${actor.row.name}: ${reason}`;
}

/**
 * After a command broke off: a sprite is never left between two states. When even this fails it is asleep with a row that says `awake`: the next command settles it first.
 * Never rejects.
 */
export async function settleAfterFailure(actor: SpriteActor, error: unknown): Promise<void> {
  if (actor.awake) return actor.transition('running');
  if (actor.state === 'asleep' || actor.state === 'failed') return;
  try {
    await settle(actor, `a command broke off: ${SylphError.from(error).message}`);
  } catch (thrown) {
    actor.log.error(
      { err: thrown },
      'sprite could not be brought to rest after a failure; the next command tries again',
    );
    actor.transition('asleep');
  }
}

/** Before a command: what an earlier one could not settle. */
export async function settleLeftovers(actor: SpriteActor): Promise<void> {
  if (actor.row.lastState === 'awake' && actor.state === 'asleep')
    await settle(actor, actor.row.reason ?? 'its VM was left behind');
}
