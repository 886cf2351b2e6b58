import { createHash } from 'node:crypto';
import type { MachineIdentity, SnapshotManifest, VmShape } from '@sylph/model';
import { SylphError } from '@sylph/model';
import type { EngineDeps } from './deps.ts';
import { resumeEvent } from './identity.ts';
import type { GuestChannel } from './interfaces/guest-channel.ts';
import type { Snapshot } from './interfaces/pool-store.ts';
import { machineNow } from './machine.ts';
import { connect } from './operations/launch.ts';

/** Host name inside a genesis; every sprite gets its own at its first start. As short as can be: writing a longer name over it needs no truncation of a file. */
const genesisName = 'g';
/** Boots tried before an image is given up: emulated boots hang now and then before the kernel prints anything. */
const attempts = 3;

/** What a genesis is made of. */
export interface GenesisParts {
  image: { name: string; digest: string };
  guestDigest: string;
  shape: VmShape;
  machine: MachineIdentity;
}

/** Snapshots new sprites start from: each (image, guest, shape, machine) is booted once and kept. */
export class GenesisLibrary {
  readonly #deps: EngineDeps;
  readonly #building = new Map<string, Promise<Snapshot>>();

  constructor(deps: EngineDeps) {
    this.#deps = deps;
  }

  /** The genesis for an image and a shape; boots it when there is none. Concurrent callers share one boot. */
  async get(image: { name: string; digest: string }, shape: VmShape): Promise<Snapshot> {
    const { digest } = await this.#deps.catalog.guest();
    const parts = { image, guestDigest: digest, shape, machine: await machineNow(this.#deps) };
    const key = genesisKey(parts);
    let genesis = this.#building.get(key);
    if (!genesis) {
      genesis = this.#find(key, parts).finally(() => this.#building.delete(key));
      this.#building.set(key, genesis);
    }
    return genesis;
  }

  async #find(key: string, parts: GenesisParts): Promise<Snapshot> {
    const found = await this.#ready(key);
    if (found !== undefined && typeof found !== 'string') return found;
    if (found !== undefined) {
      this.#deps.log.warn({ key, damage: found }, 'a damaged genesis is booted anew');
      await this.#deps.store.removeGenesis(key);
    }
    return this.#build(key, parts);
  }

  /** A genesis that is there and whole; what is wrong with one that is not; undefined when there is none. */
  async #ready(key: string): Promise<Snapshot | string | undefined> {
    const { store } = this.#deps;
    try {
      const genesis = await store.genesis(key);
      return genesis && ((await store.damage(genesis)) ?? genesis);
    } catch (error) {
      const failure = SylphError.from(error);
      // The store's word for a damaged manifest; anything else is the host's trouble.
      if (failure.code === 'vm_failed') return failure.message;
      throw failure;
    }
  }

  async #build(key: string, parts: GenesisParts): Promise<Snapshot> {
    const { image, shape } = parts;
    const began = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        const snapshot = await this.#boot(key, parts);
        this.#deps.log.info(
          { image: image.name, shape, durationMs: Math.round(performance.now() - began) },
          'genesis is ready',
        );
        return snapshot;
      } catch (error) {
        const failure = SylphError.from(error);
        this.#deps.log.warn({ err: error, attempt, image: image.name }, 'genesis could not be booted');
        if (attempt === attempts || !failure.retryable || failure.code === 'pool_full') throw failure;
      }
    }
  }

  async #boot(key: string, { image, guestDigest, shape, machine }: GenesisParts): Promise<Snapshot> {
    const { store, driver, channels, network, options, failpoints } = this.#deps;
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
    const id = `genesis-${key}`;
    const attachment = await network.attach(id, options.uidBase);
    stack.defer(() => network.detach(id));
    const dir = await store.openGenesisVm(
      { imageDigest: image.digest, guestDigest, storageGb: shape.storageGb },
      manifest,
      options.uidBase,
    );
    stack.defer(() => store.removeVm(dir));
    const signal = AbortSignal.timeout(options.bootDeadlineMs);
    const vm = await driver.start(
      { spriteId: id, dir: dir.path, shape, uid: options.uidBase, network: attachment, machine },
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

/** Names a genesis by its parts: 16 hex digits are enough for a handful of combinations and keep paths short. */
function genesisKey({ image, guestDigest, shape, machine }: GenesisParts): string {
  const text = JSON.stringify([
    1,
    image.digest,
    guestDigest,
    shape.cpus,
    shape.ramMib,
    shape.storageGb,
    machine.driver,
    machine.accelerator,
    machine.qemuVersion,
    machine.machine,
    machine.cpuModel,
  ]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
