import { assertTransition, lifecycle, publicStatus, SylphError, type SpriteCommand, type SpriteState } from '@sylph/model';
import type { EngineDeps, Logger } from '../deps.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';
import type { SpriteSessions } from '../interfaces/session-keeper.ts';
import type { SpriteView } from '../service.ts';
import type { AwakeVm } from './awake.ts';
import { CommandQueue } from './queue.ts';

/** State a row stands for when no VM of the sprite runs under this daemon. */
export function restingState(row: SpriteRow): SpriteState {
  return row.lastState === 'failed' ? 'failed' : 'asleep';
}

/** A sprite as the API sees it. */
export function viewOf(row: SpriteRow, org: OrgRow, state: SpriteState, agentVersion: string | null): SpriteView {
  const rest = row.lastState === 'memory' || row.lastState === 'disk' || row.lastState === 'new' ? row.lastState : null;
  return { row, org, state, status: publicStatus(state, rest), agentVersion };
}

/**
 * One sprite's life: its state, its VM while it is awake, its sessions, and the queue that lets one command run at a time. What the commands do lies in `operations/`.
 * An actor exists while its sprite is awake or a command runs; sleeping sprites are rows and files only.
 */
export class SpriteActor {
  readonly deps: EngineDeps;
  readonly org: OrgRow;
  readonly log: Logger;
  readonly #queue = new CommandQueue();
  #row: SpriteRow;
  #state: SpriteState;
  #sessions: Promise<SpriteSessions> | undefined;
  /** The VM while one serves. */
  awake: AwakeVm | undefined;
  /** Uses under way, which hold the sprite awake. */
  leases = 0;
  /** Calls that have this actor in hand. */
  holds = 0;
  /** Called when a command has ended: the actor may be dispensable now. */
  onSettled: () => void = () => undefined;
  /** Monotonic time of the last use, ms. */
  lastUseAt = performance.now();
  /** Called whenever the sprite's activity may have changed. */
  onActivity: () => void = () => undefined;

  constructor(deps: EngineDeps, row: SpriteRow, org: OrgRow) {
    this.deps = deps;
    this.org = org;
    this.#row = row;
    this.#state = restingState(row);
    this.log = deps.log.child({ spriteId: row.id, sprite: row.name });
  }

  get id(): SpriteRow['id'] {
    return this.#row.id;
  }

  get row(): SpriteRow {
    return this.#row;
  }

  get state(): SpriteState {
    return this.#state;
  }

  get view(): SpriteView {
    return viewOf(this.#row, this.org, this.#state, this.awake?.channel.hello.agent ?? null);
  }

  /** Nothing holds this actor in memory. */
  get dispensable(): boolean {
    return this.#queue.idle && this.awake === undefined && this.leases === 0 && this.holds === 0;
  }

  /** Runs a command in its turn, if the lifecycle table lets it run then. `noop` is what an unnecessary command answers. Equal commands join when they have a `key`. */
  async command<T>(name: SpriteCommand, options: { join: boolean; noop?: () => T }, work: () => Promise<T>): Promise<T> {
    const turn = this.enqueue(options.join ? name : undefined, async () => {
      const verdict = lifecycle[name][this.#state];
      if (verdict === 'noop' && options.noop) return options.noop();
      if (verdict === 'refuse') throw this.refusal(name);
      return work();
    });
    return turn;
  }

  /** Runs work in its turn, whatever the state. */
  enqueue<T>(key: string | undefined, work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.run(key, work);
    if (turn === undefined) return Promise.reject(new SylphError('illegal_state', `too many commands wait for sprite ${this.#row.name}`, { hint: 'Wait for the ones under way.' }));
    const settled = (): void => this.onSettled();
    void turn.then(settled, settled);
    return turn;
  }

  /** Like `enqueue`, for work nobody waits for: a failure is logged. */
  background(what: string, work: () => Promise<void>): void {
    this.enqueue(undefined, work).catch((error: unknown) => this.log.error({ err: error }, `${what} failed`));
  }

  /** The 409 of the lifecycle table. */
  refusal(name: SpriteCommand): SylphError {
    const failed = this.#state === 'failed';
    return new SylphError(failed ? 'sprite_failed' : 'illegal_state', `sprite ${this.#row.name} is ${this.#state}, so it cannot ${name === 'use' ? 'be used' : name}${failed && this.#row.reason ? `: ${this.#row.reason}` : ''}`, {
      hint: failed ? 'POST …/recover tries again from the best state there is; restoring a checkpoint works too.' : 'Wait for what is under way.',
    });
  }

  /** Changes the state: checks the table, logs once. What of it must outlive the daemon goes through `update`. */
  transition(to: SpriteState): void {
    if (to === this.#state) return;
    assertTransition(this.#state, to);
    this.log.info({ from: this.#state, to }, 'sprite changes state');
    this.#state = to;
  }

  /** Writes row fields; durable when it resolves. */
  async update(patch: Parameters<EngineDeps['repository']['updateSprite']>[1]): Promise<void> {
    this.#row = await this.deps.repository.updateSprite(this.id, patch);
  }

  /** Reads the row again after a counter was taken or somebody else wrote it. */
  async reload(): Promise<void> {
    this.#row = (await this.deps.repository.sprite(this.id)) ?? this.#row;
  }

  /** The sprite's sessions, opened at first use. */
  sessions(): Promise<SpriteSessions> {
    this.#sessions ??= this.deps.keeper.open({
      spriteId: this.id,
      dir: this.deps.store.sessionsDir(this.id),
      nextId: async () => String(await this.deps.repository.takeCounter(this.id, 'nextSession')),
      onActivity: () => this.onActivity(),
    });
    return this.#sessions;
  }

  /** Closes the journals. */
  async closeSessions(): Promise<void> {
    const sessions = this.#sessions;
    this.#sessions = undefined;
    await (await sessions)?.[Symbol.asyncDispose]();
  }
}
