import { SylphError } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { VmDir } from './interfaces/pool-store.ts';
import type { Vm } from './interfaces/vm-driver.ts';
import { machineNow } from './machine.ts';
import { networkGuest } from './policy-in-force.ts';
import { connect, endAwake } from './operations/launch.ts';
import { endVms, removeVms, restOf, settle } from './operations/settle.ts';
import { connectSessions, watchVm } from './watch.ts';

/**
 * Finds out what became of a sprite the last daemon left awake, from what exists: see "The truth is what exists" in ARCHITECTURE.md.
 * Returns a sentence when something had to be cleaned up or was lost.
 */
export async function recoverSprite(actor: SpriteActor): Promise<string | undefined> {
  const { store, driver } = actor.deps;
  const older = await store.vmDirs(actor.id);
  const newest = older.pop();
  // A damaged rest is there all the same: the VMs beside it are not the sprite.
  if ((await restOf(actor)) !== undefined || newest === undefined) return settle(actor, 'the daemon was restarted');
  const vm = await driver.adopt(newest.path);
  if (vm === undefined) return settle(actor, 'its VM did not survive the time without a daemon');
  await endVms(actor, older);
  await removeVms(actor, older);
  try {
    await adopt(actor, vm, newest);
    return undefined;
  } catch (error) {
    actor.log.error({ err: error }, 'a running VM could not be adopted');
    if (actor.awake) await endAwake(actor, actor.awake);
    else await vm.end();
    const reason = `its agent did not answer after the daemon restarted: ${SylphError.from(error).message}`;
    return (await settle(actor, reason)) ?? `${actor.row.name}: ${reason}`;
  }
}

/** Time an adopted agent gets to answer. */
const adoptDeadlineMs = 20_000;

async function adopt(actor: SpriteActor, vm: Vm, dir: VmDir): Promise<void> {
  const { store, channels, network } = actor.deps;
  await using undo = new AsyncDisposableStack();
  await network.adopt(networkGuest(actor), vm.pid);
  if (vm.paused) await vm.continue();
  const channel = await connect(channels, vm, adoptDeadlineMs);
  undo.defer(() => channel.close());
  await channel.open({ deadlineMs: adoptDeadlineMs });
  const awake = {
    vm,
    dir,
    manifest: { ...(await store.vmManifest(dir)), identity: actor.id, machine: await machineNow(actor.deps) },
    channel,
    watch: new AbortController(),
  };
  undo.move();
  actor.awake = awake;
  actor.transition('starting');
  await connectSessions(actor, awake);
  actor.transition('running');
  watchVm(actor, awake);
  actor.log.info({ pid: vm.pid }, 'adopted a running sprite');
}
