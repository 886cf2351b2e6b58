import { createHash } from 'node:crypto';
import type { VmShape } from '@sylph/model';
import { SylphError } from '@sylph/model';
import { CommandQueue } from './actor/queue.ts';
import type { EngineDeps } from './deps.ts';
import { bootGenesis, type GenesisParts } from './genesis-boot.ts';
import { genesesToRemove, type GenesisUser } from './genesis-eviction.ts';
import type { Snapshot } from './interfaces/pool-store.ts';
import { machineNow } from './machine.ts';

/** Boots tried before an image is given up: emulated boots hang now and then before the kernel prints anything. */
const attempts = 3;

type Image = GenesisParts['image'];

/**
 * Snapshots new sprites start from: each (image, guest, shape, machine) is booted once and kept while there is room, see {@link genesesToRemove}.
 * One boots at a time: a boot takes a VM's memory that no limit on sprites counts.
 */
export class GenesisLibrary {
  readonly #deps: EngineDeps;
  readonly #building = new Map<string, Promise<Snapshot>>();
  readonly #boots = new CommandQueue();
  /** Keys used since the start and by whom, least recently used first. */
  readonly #recent = new Map<string, GenesisUser>();
  /** Key of the one that most sprites start from: it stays. */
  #default: string | undefined;
  /** Uses under way by key; what is used is not removed. */
  readonly #uses = new Map<string, number>();

  constructor(deps: EngineDeps) {
    this.#deps = deps;
  }

  /** Boots the genesis that most sprites will start from, if it is not there; it is never removed. */
  async prepare(image: Image, shape: VmShape): Promise<void> {
    const parts = await this.#parts(image, shape);
    this.#default = genesisKey(parts);
    await this.#get(this.#default, parts);
  }

  /** Works with the genesis for an image and a shape, which stays until the work is done; boots it when there is none. Concurrent callers share one boot. `orgId` is who asks. */
  async with<T>(image: Image, shape: VmShape, orgId: string, work: (genesis: Snapshot) => Promise<T>): Promise<T> {
    const parts = await this.#parts(image, shape);
    const key = genesisKey(parts);
    const before = this.#recent.has(key) ? this.#recent.get(key) : orgId;
    this.#recent.delete(key);
    this.#recent.set(key, before === orgId ? orgId : null);
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    try {
      return await work(await this.#get(key, parts));
    } finally {
      const left = (this.#uses.get(key) ?? 0) - 1;
      if (left > 0) this.#uses.set(key, left);
      else this.#uses.delete(key);
    }
  }

  async #parts(image: Image, shape: VmShape): Promise<GenesisParts> {
    const { digest } = await this.#deps.catalog.guest();
    return { image, guestDigest: digest, shape, machine: await machineNow(this.#deps) };
  }

  async #get(key: string, parts: GenesisParts): Promise<Snapshot> {
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
    const built = this.#boots.run(undefined, () => this.#build(key, parts));
    if (!built)
      throw new SylphError('illegal_state', 'too many new combinations of image and sizes are waiting to be booted', {
        hint: 'Try again in a minute, or use the sizes of another sprite.',
      });
    const genesis = await built;
    await this.#removeUnused().catch((error: unknown) =>
      // Room that is not given back now is given back at the next boot.
      this.#deps.log.warn({ err: error }, 'a genesis that was not used for long could not be removed'),
    );
    return genesis;
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
        const snapshot = await bootGenesis(this.#deps, key, parts);
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

  /** Removes what there is no room for. Sprites made from it have copies of their own. */
  async #removeUnused(): Promise<void> {
    const { store, log } = this.#deps;
    const spared = (key: string): boolean => key === this.#default || this.#uses.has(key);
    for (const key of genesesToRemove(await store.genesisKeys(), this.#recent, spared)) {
      // A use may have begun while another was removed.
      if (spared(key)) continue;
      this.#recent.delete(key);
      await store.removeGenesis(key);
      log.info({ key }, 'a genesis that was not used for long is removed');
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
