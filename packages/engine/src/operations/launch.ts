import { SylphError, type Digest } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import { resumeEvent } from '../identity.ts';
import { machineNow } from '../machine.ts';
import { networkGuest } from '../policy-in-force.ts';
import type { ChannelFactory, GuestChannel } from '../interfaces/guest-channel.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { Vm } from '../interfaces/vm-driver.ts';

/** How to start: the snapshot with its memory, or only its disk, into another guest where one is given. */
export interface LaunchPlan {
  snapshot: Snapshot;
  memory: boolean;
  guestDigest?: Digest | undefined;
}

/**
 * Starts a VM from a snapshot and tells its agent who and when it is. When it resolves the agent has answered; nothing else has changed: what the sprite rests on is as it was.
 * On failure nothing is left of the attempt.
 */
export async function launch(actor: SpriteActor, plan: LaunchPlan): Promise<AwakeVm> {
  const { driver, store, network, channels, options, failpoints } = actor.deps;
  const deadline = AbortSignal.timeout(plan.memory ? options.resumeDeadlineMs : options.bootDeadlineMs);
  await using undo = new AsyncDisposableStack();
  const { uid } = actor.row;
  undo.defer(() => network.detach(actor.id));
  const attachment = await network.attach(networkGuest(actor));
  const machine = await machineNow(actor.deps);
  const dir = await store.openVm(actor.id, plan.snapshot, {
    uid,
    memory: plan.memory,
    guestDigest: plan.guestDigest,
  });
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
      ...(plan.memory
        ? { memory: { devPath: `${plan.snapshot.path}/dev`, format: manifest.deviceFormat ?? 'devices' } }
        : {}),
    },
    { signal: deadline },
  );
  undo.defer(() => vm.end());
  await failpoints.hit('start.vm-running');
  const event = resumeEvent({ id: actor.id, name: actor.row.name }, manifest);
  const { resumeDeadlineMs, bootDeadlineMs } = options;
  const channel = plan.memory
    ? await channelTo(
        vm,
        (signal) => channels.wake(vm.sockets, event, { deadlineMs: resumeDeadlineMs, signal }),
        deadline,
      )
    : await connect(channels, vm, bootDeadlineMs, deadline);
  undo.defer(() => channel.close());
  if (!plan.memory) await untilEnd(vm, channel.resume(event, { deadlineMs: resumeDeadlineMs }));
  await failpoints.hit('start.agent-answered');
  undo.move();
  return { vm, dir, manifest: { ...manifest, identity: actor.id, machine }, channel, watch: new AbortController() };
}

/** Connects to a VM's agent, but waits neither beyond the deadline nor beyond the VM's life. */
export async function connect(
  channels: ChannelFactory,
  vm: Vm,
  deadlineMs: number,
  signal: AbortSignal = AbortSignal.timeout(deadlineMs),
): Promise<GuestChannel> {
  return channelTo(vm, (until) => channels.connect(vm.sockets, { deadlineMs, signal: until }), signal);
}

/** Waits for a channel, but not beyond the VM's life; one that comes too late is closed. */
async function channelTo(
  vm: Vm,
  make: (signal: AbortSignal) => Promise<GuestChannel>,
  signal: AbortSignal,
): Promise<GuestChannel> {
  const given = new AbortController();
  const making = make(AbortSignal.any([signal, given.signal]));
  try {
    return await untilEnd(vm, making);
  } catch (error) {
    given.abort(error);
    // It may have been made just then; its own failure is of no interest to anyone.
    void making.then((late) => late.close()).catch(() => undefined);
    throw error;
  }
}

/** Waits for something of the guest, but not beyond the VM's life. */
async function untilEnd<T>(vm: Vm, work: Promise<T>): Promise<T> {
  const ended = vm.ended.then((end) => {
    throw new SylphError('vm_failed', `the VM ended: ${end.reason}`);
  });
  return Promise.race([work, ended]);
}

/**
 * Ends a VM that is the sprite no more, and what hangs on it: watches, sessions' way to the guest, channel, process, network. Its directory stays. Every step is tried even when another fails; failures
 * are thrown in the end. `sleeps`: it is at rest with its memory, and its connections may go on when it wakes.
 */
export async function endAwake(actor: SpriteActor, awake: AwakeVm, options = { sleeps: false }): Promise<void> {
  if (actor.awake === awake) actor.awake = undefined;
  awake.watch.abort();
  // Undone in reverse order.
  await using steps = new AsyncDisposableStack();
  steps.defer(async () => {
    await actor.deps.network.detach(actor.id, options);
    actor.hooks.afterDetach(actor);
  });
  steps.defer(() => awake.vm.end());
  steps.defer(() => awake.channel.close());
  steps.defer(async () => (await actor.sessions()).disconnect());
}
