import assert from 'node:assert/strict';
import { SylphError, type CreateSpriteRequest, type ErrorCode } from '@sylph/model';
import type { EngineOptions } from '../deps.ts';
import type { SpriteLease } from '../service.ts';
import type { SpriteView } from '../sprite-view.ts';
import { assertClosed, assertConsistent, settled, timers } from './invariants.ts';
import type { NullSessions } from './null-keeper.ts';
import { World, type Daemon } from './world.ts';

/** One host with a daemon and, where the test asks, sprite `one`; shorthand for what tests say most. */
export class Scenario {
  readonly world: World;
  daemon: Daemon;
  readonly #options: Partial<EngineOptions>;
  readonly #timersBefore = timers();

  private constructor(world: World, daemon: Daemon, options: Partial<EngineOptions>) {
    this.world = world;
    this.daemon = daemon;
    this.#options = options;
  }

  static async open(options: Partial<EngineOptions> = {}): Promise<Scenario> {
    const world = new World();
    return new Scenario(world, await world.boot(options), options);
  }

  /** With a sprite `one` that runs and has written `text`. */
  static async running(text: string, options: Partial<EngineOptions> = {}): Promise<Scenario> {
    const scenario = await Scenario.open(options);
    await scenario.create('one');
    await scenario.start('one');
    await scenario.world.write('one', text);
    return scenario;
  }

  get gate(): Daemon['gate'] {
    return this.daemon.gate;
  }

  create(name: string, request: Partial<CreateSpriteRequest> = {}): Promise<SpriteView> {
    return this.daemon.sprites.create(this.daemon.org, { name, ...request });
  }

  get(name: string): Promise<SpriteView> {
    return this.daemon.sprites.get(this.daemon.org, name);
  }

  start(name: string): Promise<SpriteView> {
    return this.daemon.sprites.start(this.daemon.org, name);
  }

  suspend(name: string): Promise<SpriteView> {
    return this.daemon.sprites.suspend(this.daemon.org, name);
  }

  use(name: string): Promise<SpriteLease> {
    return this.daemon.sprites.use(this.daemon.org, name);
  }

  delete(name: string): Promise<void> {
    return this.daemon.sprites.delete(this.daemon.org, name);
  }

  recover(name: string): Promise<SpriteView> {
    return this.daemon.sprites.recover(this.daemon.org, name);
  }

  restart(name: string): Promise<SpriteView> {
    return this.daemon.sprites.restart(this.daemon.org, name);
  }

  fork(name: string, as: string, more: { checkpoint?: string; count?: number } = {}): Promise<SpriteView[]> {
    return this.daemon.sprites.fork(this.daemon.org, name, { name: as, ...more });
  }

  async checkpoint(name: string): Promise<string> {
    return (await this.daemon.sprites.checkpoint(this.daemon.org, name, { comment: '' })).id;
  }

  async restore(name: string, id: string, mode: 'memory' | 'disk' = 'memory'): Promise<string | undefined> {
    const { savedAs } = await this.daemon.sprites.restore(this.daemon.org, name, id, { mode }, () => undefined);
    return savedAs;
  }

  /** Ids of checkpoints, newest first. */
  async checkpoints(name: string): Promise<string[]> {
    return (await this.daemon.sprites.checkpoints(this.daemon.org, name)).map(({ id }) => id);
  }

  /** The sessions the daemon has open for a sprite. */
  async sessions(name: string): Promise<NullSessions> {
    const { id } = await this.world.row(name);
    const sessions = this.daemon.keeper.opened.get(`sprites/${id}/sessions`);
    assert.ok(sessions, `no sessions of ${name} are open`);
    return sessions;
  }

  /** Starts a process in an awake sprite; its session's id. */
  async run(name: string): Promise<string> {
    return (await this.sessions(name)).run();
  }

  /** Sessions that run, in an awake sprite: as the journals say, which must be what the guest says. */
  async runs(name: string): Promise<string[]> {
    const journals = (await this.sessions(name)).positions().map(({ id }) => id);
    assert.deepEqual(
      new Set(journals),
      new Set((await this.world.machine(name)).memory.processes),
      'journals and guest agree',
    );
    return journals.toSorted();
  }

  /** A new daemon on this host, after the last one died or was closed. */
  async reboot(prepare?: (daemon: Daemon) => void): Promise<void> {
    this.daemon = await this.world.boot(this.#options, prepare);
  }

  /** Does something during which the daemon dies, and starts the next one. */
  async dieDuring(work: Promise<unknown>): Promise<void> {
    const early = work.then(
      () => assert.fail('it was acknowledged before the daemon died'),
      (error: unknown) => assert.fail(`it failed before the daemon died: ${String(error)}`),
    );
    await Promise.race([this.daemon.died, early]);
    await this.reboot();
  }

  /** Everything holds, now and after the daemon was closed. */
  async end(): Promise<void> {
    this.gate.heal();
    await settled();
    await assertConsistent(this.daemon);
    await assertClosed(this.daemon, this.#timersBefore);
  }

  async consistent(): Promise<void> {
    await settled();
    await assertConsistent(this.daemon);
  }
}

/** The error a call rejects with has this code, and the text where given. */
export async function rejects(work: Promise<unknown>, code: ErrorCode, text?: RegExp): Promise<SylphError> {
  const error = await work.then(
    () => assert.fail(`expected ${code}`),
    (thrown: unknown) => SylphError.from(thrown),
  );
  assert.equal(error.code, code, error.message);
  if (text) assert.match(error.message, text);
  return error;
}

/** What a part says when something of it failed for good reason. */
export const poolFull = new SylphError('pool_full', 'the pool is full');
export const vmFailed = new SylphError('vm_failed', 'the VM did not start');
export const agentFailed = new SylphError('agent_failed', 'the agent did not answer');
