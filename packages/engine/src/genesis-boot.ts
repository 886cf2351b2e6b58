import type { MachineIdentity, SnapshotManifest, VmShape } from '@sylph/model';
import type { EngineDeps } from './deps.ts';
import { resumeEvent } from './identity.ts';
import type { GuestChannel } from './interfaces/guest-channel.ts';
import { guestMac } from './interfaces/host-network.ts';
import type { Snapshot } from './interfaces/pool-store.ts';
import { connect } from './operations/launch.ts';

/** Host name inside a genesis; every sprite gets its own at its first start. As short as can be: writing a longer name over it needs no truncation of a file. */
const genesisName = 'g';

/** What a genesis is made of. */
export interface GenesisParts {
  image: { name: string; digest: string };
  guestDigest: string;
  shape: VmShape;
  machine: MachineIdentity;
}

/** Boots an image until its agent answers and keeps the machine as the genesis of that key. On failure nothing is left. */
export async function bootGenesis(
  deps: EngineDeps,
  key: string,
  { image, guestDigest, shape, machine }: GenesisParts,
): Promise<Snapshot> {
  const { store, driver, channels, options, failpoints } = deps;
  const manifest: SnapshotManifest = {
    version: 1,
    kind: 'disk',
    shape,
    image: { name: image.name, digest: image.digest },
    guest: { digest: guestDigest, protocol: 1 },
    identity: null,
    sizes: { disk: shape.storageGb * 2 ** 30 },
    sessions: [],
    createdAt: new Date().toISOString(),
  };
  await using stack = new AsyncDisposableStack();
  const dir = await store.openGenesisVm(
    { imageDigest: image.digest, guestDigest, storageGb: shape.storageGb },
    manifest,
    options.uidBase,
  );
  stack.defer(() => store.removeVm(dir));
  const signal = AbortSignal.timeout(options.bootDeadlineMs);
  const vm = await driver.start(
    {
      spriteId: `genesis-${key}`,
      dir: dir.path,
      shape,
      uid: options.uidBase,
      network: { kind: 'none', mac: guestMac },
      machine,
    },
    { signal },
  );
  stack.defer(() => vm.end());
  const channel = await connect(channels, vm, options.bootDeadlineMs, signal);
  stack.defer(() => channel.close());
  // With an identity of its own, so that a sprite's first start finds every file of it in place and only writes over them.
  await channel.resume(resumeEvent({ id: genesisName, name: genesisName }, manifest), {
    deadlineMs: options.resumeDeadlineMs,
  });
  await warmUp(channel);
  await channel.quiesce({ deadlineMs: options.resumeDeadlineMs });
  await using draft = await store.draftGenesis(key);
  const report = await vm.capture(draft.path, 'stopped', {
    whilePaused: () => undefined,
    signal: AbortSignal.timeout(options.bootDeadlineMs),
  });
  await store.linkGuest(draft, dir);
  await failpoints.hit('genesis.captured');
  return await draft.commit({
    ...manifest,
    kind: 'memory',
    machine,
    deviceFormat: report.deviceFormat,
    sizes: report.sizes,
    devSha256: report.devSha256,
    changedRamBytes: report.changedRamBytes,
    createdAt: new Date().toISOString(),
  });
}

/** Programs run once before the capture, so that every sprite finds them in its page cache and the agent's path to them already paged in. */
const warmUpCommands = [
  ['/bin/sh', '-c', 'true'],
  ['/bin/bash', '-c', 'true'],
];

/** Longest time one of them gets. */
const warmUpDeadlineMs = 30_000;

async function warmUp(channel: GuestChannel): Promise<void> {
  for (const [index, argv] of warmUpCommands.entries()) {
    const id = String(index + 1);
    const stream = channel.startProcess({
      id,
      argv,
      path: argv[0] as string,
      env: { PATH: '/usr/bin:/bin' },
      dir: '/',
      user: 'sprite',
      tty: null,
      stdin: false,
    });
    const deadline = setTimeout(() => stream.close(), warmUpDeadlineMs);
    try {
      await stream.started;
      for await (const event of stream.events) if (event.type === 'exit') break;
      await channel.forgetProcess(id);
    } catch {
      // Nothing needs it: an image without this program is fine, and a guest that cannot run any shows that at its first use.
    } finally {
      clearTimeout(deadline);
      stream.close();
    }
  }
}
