import { SylphError, type SpriteId } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import { restFromVm } from './operations/launch.ts';
import type { VmDir } from './interfaces/pool-store.ts';
import type { Vm } from './interfaces/vm-driver.ts';
import { watchVm } from './watch.ts';

/**
 * Finds out what became of a sprite the last daemon left awake, from what exists: see "The truth is what exists" in ARCHITECTURE.md.
 * Returns a sentence when something had to be cleaned up or was lost.
 */
export async function recoverSprite(actor: SpriteActor): Promise<string | undefined> {
  const { store, driver } = actor.deps;
  const dirs = await store.vmDirs(actor.id);
  const rest = await store.rest(actor.id).catch((error: unknown) => SylphError.from(error));
  const vms = new Map<VmDir, Vm>();
  for (const dir of dirs) {
    const vm = await driver.adopt(dir.path);
    if (vm) vms.set(dir, vm);
  }
  if (rest !== undefined) {
    for (const dir of dirs) await discard(actor, dir, vms.get(dir));
    if (rest instanceof SylphError) {
      await actor.update({ lastState: 'failed', reason: rest.message });
      actor.transition('failed');
      return `${actor.row.name}: ${rest.message}`;
    }
    await actor.update({ lastState: rest.manifest.kind });
    return dirs.length > 0 ? `${actor.row.name}: ended a VM whose sprite is at rest` : undefined;
  }
  const current = dirs.at(-1);
  for (const dir of dirs.slice(0, -1)) await discard(actor, dir, vms.get(dir));
  if (!current) return nothingLeft(actor);
  const vm = vms.get(current);
  if (vm && (await adopt(actor, vm, current))) return undefined;
  await vm?.end();
  await actor.deps.network.detach(actor.id);
  const reason = vm ? 'its agent did not answer after the daemon restarted' : 'its VM did not survive the time without a daemon';
  await (await actor.sessions()).lose(reason);
  await restFromVm(actor, current);
  await actor.update({ lastState: 'disk', reason });
  return `${actor.row.name}: ${reason}; it boots from its disk at the next use`;
}

async function discard(actor: SpriteActor, dir: VmDir, vm: Vm | undefined): Promise<void> {
  await vm?.end();
  await actor.deps.network.detach(actor.id);
  await actor.deps.store.removeVm(dir);
}

/** Time an adopted agent gets to answer. */
const adoptDeadlineMs = 20_000;

async function adopt(actor: SpriteActor, vm: Vm, dir: VmDir): Promise<boolean> {
  const { store, channels, network, driver, catalog } = actor.deps;
  try {
    await network.attach(actor.id, actor.row.uid);
    if (vm.paused) await vm.continue();
    const channel = await channels.connect(vm.sockets, { deadlineMs: adoptDeadlineMs, signal: AbortSignal.timeout(adoptDeadlineMs) });
    await channel.open({ deadlineMs: adoptDeadlineMs });
    const { reason: _, ...machine } = await driver.machine(await catalog.guest());
    const awake = { vm, dir, manifest: { ...(await store.vmManifest(dir)), identity: actor.id, machine }, channel, watch: new AbortController() };
    await (await actor.sessions()).connect(channel);
    actor.transition('starting');
    actor.awake = awake;
    actor.transition('running');
    watchVm(actor, awake);
    actor.log.info({ pid: vm.pid }, 'adopted a running sprite');
    return true;
  } catch (error) {
    actor.log.error({ err: error }, 'a running VM could not be adopted');
    return false;
  }
}

async function nothingLeft(actor: SpriteActor): Promise<string> {
  const { store, repository } = actor.deps;
  const reason = 'its files were missing when the daemon started';
  for (const row of await repository.checkpoints(actor.id)) {
    const checkpoint = await store.checkpoint(actor.id as SpriteId, row.id).catch(() => undefined);
    if (!checkpoint) continue;
    await using draft = await store.draftRest(actor.id);
    await store.fillFromSnapshot(draft, checkpoint);
    await draft.commit(checkpoint.manifest);
    await actor.update({ lastState: checkpoint.manifest.kind, currentCheckpoint: row.id, reason: `${reason}; it is back at checkpoint ${row.id}` });
    return `${actor.row.name}: ${reason}; it is back at checkpoint ${row.id}`;
  }
  await actor.update({ lastState: 'failed', reason });
  actor.transition('failed');
  return `${actor.row.name}: ${reason}`;
}
