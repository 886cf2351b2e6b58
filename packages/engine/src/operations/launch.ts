import { SylphError, type Digest } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import { resumeEvent } from '../identity.ts';
import type { Snapshot, VmDir } from '../interfaces/pool-store.ts';
import type { Vm } from '../interfaces/vm-driver.ts';

/** How to start: the snapshot with its memory, or only its disk, into another guest where one is given. */
export interface LaunchPlan {
  snapshot: Snapshot;
  memory: boolean;
  guestDigest?: Digest;
}

/**
 * Starts a VM from a snapshot and tells its agent who and when it is. When it resolves the agent has answered; nothing else has changed: what the sprite rests on is as it was.
 * On failure nothing is left of the attempt.
 */
export async function launch(actor: SpriteActor, plan: LaunchPlan): Promise<AwakeVm> {
  const { driver, store, network, channels, catalog, options, failpoints } = actor.deps;
  const deadline = AbortSignal.timeout(plan.memory ? options.resumeDeadlineMs : options.bootDeadlineMs);
  await using undo = new AsyncDisposableStack();
  const { uid } = actor.row;
  const [attachment, { reason: _, ...machine }] = await Promise.all([network.attach(actor.id, uid), driver.machine(await catalog.guest())]);
  undo.defer(() => network.detach(actor.id));
  const dir = await store.openVm(actor.id, plan.snapshot, { uid, memory: plan.memory, ...(plan.guestDigest === undefined ? {} : { guestDigest: plan.guestDigest }) });
  undo.defer(() => store.removeVm(dir));
  const manifest = await store.vmManifest(dir);
  const vm = await driver.start(
    {
      spriteId: actor.id,
      dir: dir.path,
      shape: manifest.shape,
      uid,
      network: attachment,
      machine,
      ...(plan.memory ? { memory: { devPath: `${plan.snapshot.path}/dev`, format: manifest.deviceFormat ?? 'devices' } } : {}),
    },
    { signal: deadline },
  );
  undo.defer(() => vm.end());
  await failpoints.hit('start.vm-running');
  const channel = await untilEnd(vm, channels.connect(vm.sockets, { deadlineMs: plan.memory ? options.resumeDeadlineMs : options.bootDeadlineMs, signal: deadline }));
  undo.defer(() => channel.close());
  await untilEnd(vm, channel.resume(resumeEvent({ id: actor.id, name: actor.row.name }, manifest), { deadlineMs: options.resumeDeadlineMs }));
  await failpoints.hit('start.agent-answered');
  undo.move();
  return { vm, dir, manifest: { ...manifest, identity: actor.id, machine }, channel, watch: new AbortController() };
}

/** Waits for something of the guest, but not beyond the VM's life. */
export async function untilEnd<T>(vm: Vm, work: Promise<T>): Promise<T> {
  const ended = vm.ended.then((end) => {
    throw new SylphError('vm_failed', `the VM ended: ${end.reason}`);
  });
  return Promise.race([work, ended]);
}

/** Ends a VM and everything around it; the sprite's truth must already lie elsewhere. */
export async function dismantle(actor: SpriteActor, awake: AwakeVm): Promise<void> {
  awake.watch.abort();
  await awake.channel.close();
  await awake.vm.end();
  await actor.deps.network.detach(actor.id);
  await actor.deps.store.removeVm(awake.dir);
}

/** The disk of a VM that is gone becomes what the sprite rests on. */
export async function restFromVm(actor: SpriteActor, dir: VmDir): Promise<Snapshot> {
  const { store } = actor.deps;
  const { machine: _machine, deviceFormat: _format, devSha256: _hash, changedRamBytes: _changed, ...manifest } = await store.vmManifest(dir);
  await using draft = await store.draftRest(actor.id);
  await store.fillFromVm(draft, dir);
  const rest = await draft.commit({ ...manifest, kind: 'disk', sizes: { disk: manifest.shape.storageGb * 2 ** 30 }, sessions: [], createdAt: new Date().toISOString() });
  await store.removeVm(dir);
  return rest;
}
