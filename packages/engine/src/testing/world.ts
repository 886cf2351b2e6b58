import assert from 'node:assert/strict';
import type { SpriteId } from '@sylph/model';
import type { EngineDeps, EngineOptions, Logger } from '../deps.ts';
import { Failpoints, type FailpointName } from '../failpoints.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';
import { Sprites } from '../sprites.ts';
import { Gate, guarded, never } from './gate.ts';
import { MemoryFiles } from './memory-files.ts';
import { MemoryRepository } from './memory-repository.ts';
import { MemoryStore } from './memory-store.ts';
import { NullChannels } from './null-channel.ts';
import { Machines, NullDriver, type Machine } from './null-driver.ts';
import { NullKeeper } from './null-keeper.ts';
import { NullNetwork } from './null-network.ts';

/** A line of a daemon's log. */
export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  fields: Record<string, unknown>;
}

/** What outlives a daemon: files, rows and processes of one host. */
export class World {
  readonly files = new MemoryFiles();
  readonly repository = new MemoryRepository();
  readonly machines = new Machines(this.files);
  guestDigest = 'beef'.repeat(4);

  /** Starts a daemon on this host; `prepare` is called before it looks at anything. */
  async boot(
    options: Partial<EngineOptions> = {},
    prepare: (daemon: Daemon) => void = () => undefined,
  ): Promise<Daemon> {
    const daemon = new Daemon(this, await this.repository.ensureOrg('acme'), options);
    prepare(daemon);
    daemon.notices = await daemon.sprites.open();
    return daemon;
  }

  async row(name: string): Promise<SpriteRow> {
    const [row] = (
      await this.repository.listSprites({
        orgId: (await this.repository.ensureOrg('acme')).id,
        prefix: name,
        limit: 100,
      })
    ).filter((found) => found.name === name);
    assert.ok(row, `no sprite ${name}`);
    return row;
  }

  /** The living VM of a sprite. */
  async machine(name: string): Promise<Machine> {
    const { id } = await this.row(name);
    const machine = this.machines.alive().find(({ spriteId }) => spriteId === id);
    assert.ok(machine, `${name} has no VM`);
    return machine;
  }

  /** Writes a text to the disk and the memory of an awake sprite's guest. */
  async write(name: string, text: string): Promise<void> {
    const machine = await this.machine(name);
    machine.memory.text = text;
    this.files.write(`${machine.dir}/disk`, text);
  }

  /** What the guest of an awake sprite has in memory and on its disk. */
  async read(name: string): Promise<{ memory: string; disk: string | undefined }> {
    const machine = await this.machine(name);
    return { memory: machine.memory.text, disk: this.files.read(`${machine.dir}/disk`) };
  }

  restPath(id: SpriteId): string {
    return `sprites/${id}/rest`;
  }
}

/** A daemon: an engine over parts that can be made to fail, hang or die with it. */
export class Daemon {
  readonly world: World;
  readonly org: OrgRow;
  readonly gate = new Gate();
  readonly log: LogLine[] = [];
  readonly channels: NullChannels;
  readonly keeper: NullKeeper;
  readonly sprites: Sprites;
  readonly options: EngineOptions;
  readonly network = new NullNetwork();
  /** Settles when the daemon died at the point it was told to die at. */
  readonly died: Promise<void>;
  notices: string[] = [];
  readonly #failpoints: TestFailpoints;

  constructor(world: World, org: OrgRow, options: Partial<EngineOptions>) {
    this.world = world;
    this.org = org;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.died = promise;
    this.#failpoints = new TestFailpoints(() => {
      this.crash();
      resolve();
    });
    this.options = {
      uidBase: 100_000,
      defaultIdleTimeoutS: 0,
      bootDeadlineMs: 100,
      resumeDeadlineMs: 50,
      agentSilenceMs: 100_000,
      autoCheckpoints: 3,
      parallelism: 4,
      maxAwake: 0,
      ...options,
    };
    this.channels = new NullChannels(world.machines, this.gate);
    this.keeper = new NullKeeper(world.files, this.gate);
    const guest = async () => ({ digest: world.guestDigest, kernel: 'kernel', initrd: 'initrd' });
    const deps: EngineDeps = {
      driver: guarded('driver', new NullDriver(world.machines, this.gate), this.gate),
      store: this.#store(),
      channels: guarded('channels', this.channels, this.gate),
      network: guarded('network', this.network, this.gate),
      repository: guarded('repository', world.repository, this.gate, ['spriteIds']),
      keeper: guarded('keeper', this.keeper, this.gate),
      catalog: {
        guest,
        image: async (name = 'minimal') => (name === 'minimal' ? { name, digest: 'cafe'.repeat(4) } : undefined),
      },
      log: this.#logger({}),
      failpoints: this.#failpoints,
      options: this.options,
    };
    this.sprites = new Sprites(deps);
  }

  /** The daemon dies when it reaches a point. */
  dieAt(point: FailpointName): void {
    this.#failpoints.armed = { point, how: 'die' };
  }

  /** The step at a point fails. */
  throwAt(point: FailpointName): void {
    this.#failpoints.armed = { point, how: 'throw' };
  }

  /** The daemon is killed: nothing it does has an effect from now on; its machines run on. */
  crash(): void {
    this.gate.freeze();
    // Its timers die with it: a broken channel ends the watch of its VM.
    for (const channel of this.channels.open) channel.break('the daemon died');
  }

  /** Errors the daemon logged. */
  get errors(): LogLine[] {
    return this.log.filter(({ level }) => level === 'error');
  }

  #store(): MemoryStore {
    const store = new MemoryStore(this.world.files, (draft) => guarded('draft', draft, this.gate));
    return guarded('store', store, this.gate, ['sessionsDir', 'journals']);
  }

  #logger(bound: object): Logger {
    const line = (level: LogLine['level']) => (fields: object, message: string) =>
      void this.log.push({ level, message, fields: { ...bound, ...fields } });
    return {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: (fields) => this.#logger({ ...bound, ...fields }),
    };
  }
}

/** Failpoints at which a step fails, or the daemon dies: then nothing after the point happens. */
class TestFailpoints extends Failpoints {
  armed: { point: FailpointName; how: 'die' | 'throw' } | undefined;
  readonly #die: () => void;

  constructor(die: () => void) {
    super();
    this.#die = die;
  }

  override async hit(name: FailpointName): Promise<void> {
    if (this.armed?.point !== name) return;
    const { how } = this.armed;
    this.armed = undefined;
    if (how === 'throw') throw new Error(`failpoint ${name}`);
    this.#die();
    await never;
  }
}
