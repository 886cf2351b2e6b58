import {
  assertTransition,
  lifecycle,
  publicStatus,
  SylphError,
  type SpriteCommand,
  type SpriteState,
} from '@sylph/model';
import type { EngineDeps, Logger } from '../deps.ts';
import type { OrgRow, SpriteRow } from '../interfaces/repository.ts';
import type { SpriteSessions } from '../interfaces/session-keeper.ts';
import type { SpriteView } from '../sprite-view.ts';
import type { AwakeVm } from './awake.ts';
import { CommandQueue } from './queue.ts';
import { SessionNumbers } from './session-numbers.ts';

/** State a row stands for when no VM of the sprite runs under this daemon. */
export function restingState(row: SpriteRow): SpriteState {
  return row.lastState === 'failed' ? 'failed' : 'asleep';
}

/** A sprite as the API sees it. */
export function viewOf(row: SpriteRow, org: OrgRow, state: SpriteState, agentVersion: string | null): SpriteView {
  const rest = row.lastState === 'memory' || row.lastState === 'disk' || row.lastState === 'new' ? row.lastState : null;
  return { row, org, state, status: publicStatus(state, rest), agentVersion };
}

/** What frames every command of an actor. */
export interface ActorHooks {
  /** In its turn, before the lifecycle table is asked. */
  beforeCommand(actor: SpriteActor): Promise<void>;
  /** In its turn, when it failed. Never rejects. */
  afterFailure(actor: SpriteActor, error: unknown): Promise<void>;
  /** It has ended: the actor may be dispensable now. */
  onSettled(actor: SpriteActor): void;
  /** It has left its place in the network. */
  afterDetach(actor: SpriteActor): void;
  /** Its view is another now. */
  onChange(actor: SpriteActor): void;
}

/**
 * One sprite's life: its state, its VM while it is awake, its sessions, and the queue that lets one command run at a time. What the commands do lies in `operations/`.
 * An actor exists while its sprite is awake or a command runs; sleeping sprites are rows and files only.
 */
export class SpriteActor {
  readonly deps: EngineDeps;
  readonly org: OrgRow;
  readonly log: Logger;
  readonly hooks: ActorHooks;
  readonly #queue = new CommandQueue();
  readonly #numbers = new SessionNumbers((count) => this.deps.repository.takeCounter(this.id, 'nextSession', count));
  #row: SpriteRow;
  #state: SpriteState;
  #fresh: Promise<void> | undefined;
  #sessions: Promise<SpriteSessions> | undefined;
  /** The same, once they are open. */
  #opened: SpriteSessions | undefined;
  #closed: Promise<void> = Promise.resolve();
  /** The VM while one serves. */
  awake: AwakeVm | undefined;
  /** Uses under way, which hold the sprite awake. */
  leases = 0;
  /** Calls that have this actor in hand. */
  holds = 0;
  /** Monotonic time of the last use, ms. */
  lastUseAt = performance.now();
  /** Monotonic time until which tasks of its programs hold it awake, ms. */
  tasksUntil = 0;
  /** Called whenever the sprite's activity may have changed. */
  onActivity: () => void = () => undefined;

  constructor(deps: EngineDeps, row: SpriteRow, org: OrgRow, hooks: ActorHooks) {
    this.deps = deps;
    this.hooks = hooks;
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

  /** Somebody has it in hand, a client reads one of its sessions, or it has a VM. A client stays attached while its sprite sleeps. */
  get held(): boolean {
    const clients = this.#opened?.activity().clients ?? 0;
    return this.awake !== undefined || this.leases > 0 || this.holds > 0 || clients > 0;
  }

  /** Nothing keeps this actor in memory. */
  get dispensable(): boolean {
    return this.#queue.idle && !this.held;
  }

  /**
   * Runs a command in its turn, if the lifecycle table lets it run then. `noop` is what an unnecessary command answers; without it the work is done all the same. Neighbours with an equal `key` join.
   */
  command<T>(name: SpriteCommand, options: { key?: string; noop?: () => T }, work: () => Promise<T>): Promise<T> {
    return this.enqueue(options.key, async () => {
      if (name !== 'delete') await this.hooks.beforeCommand(this);
      const verdict = lifecycle[name][this.#state];
      if (verdict === 'noop' && options.noop) return options.noop();
      if (verdict === 'refuse') throw this.refusal(name);
      return work();
    });
  }

  /** Runs work in its turn, whatever the state. */
  enqueue<T>(key: string | undefined, work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.run(key, async () => {
      try {
        return await work();
      } catch (error) {
        await this.hooks.afterFailure(this, error);
        throw error;
      }
    });
    if (turn === undefined)
      return Promise.reject(
        new SylphError('illegal_state', `too many commands wait for sprite ${this.#row.name}`, {
          hint: 'Wait for the ones under way.',
        }),
      );
    const settled = (): void => this.hooks.onSettled(this);
    void turn.then(settled, settled);
    return turn;
  }

  /** Like `enqueue`, for work nobody waits for: a failure is logged. */
  background(what: string, work: () => Promise<void>): void {
    this.enqueue(undefined, work).catch((error: unknown) => this.log.error({ err: error }, `${what} failed`));
  }

  /** Why the lifecycle table refuses a command. */
  refusal(name: SpriteCommand): SylphError {
    const { row } = this;
    // Commands have their turn after the deletion, not during it.
    if (this.#state === 'deleting')
      return new SylphError('sprite_not_found', 'sprite not found', {
        hint: `Sprite ${row.name} was deleted just now.`,
      });
    const text = `sprite ${row.name} is ${this.#state}, so it cannot ${name === 'use' ? 'be used' : name}`;
    if (this.#state !== 'failed') return new SylphError('illegal_state', text);
    return new SylphError('sprite_failed', row.reason === null ? text : `${text}: ${row.reason}`, {
      hint: 'POST …/recover tries again from the best state there is; restoring a checkpoint works too.',
    });
  }

  /** Changes the state: checks the table, logs once. What of it must outlive the daemon goes through `update`. */
  transition(to: SpriteState): void {
    if (to === this.#state) return;
    assertTransition(this.#state, to);
    this.log.info({ from: this.#state, to }, 'sprite changes state');
    this.#state = to;
    this.hooks.onChange(this);
  }

  /** Writes row fields; durable when it resolves. */
  async update(patch: Parameters<EngineDeps['repository']['updateSprite']>[1]): Promise<void> {
    this.#row = await this.deps.repository.updateSprite(this.id, patch);
    this.hooks.onChange(this);
  }

  /** To be awaited before the first use: the row given may be older than the last words of an actor before this one. Throws `sprite_not_found`. */
  fresh(): Promise<void> {
    this.#fresh ??= this.#reload();
    return this.#fresh;
  }

  async #reload(): Promise<void> {
    const row = await this.deps.repository.sprite(this.id);
    if (!row)
      throw new SylphError('sprite_not_found', 'sprite not found', {
        hint: `Sprite ${this.#row.name} was deleted just now.`,
      });
    this.#row = row;
    this.#state = restingState(row);
  }

  /** The sprite's sessions, opened at first use. */
  sessions(): Promise<SpriteSessions> {
    this.#sessions ??= this.#openSessions();
    return this.#sessions;
  }

  /** Whether its journals are open. */
  get hasSessions(): boolean {
    return this.#sessions !== undefined;
  }

  /** Closes the journals. Whoever asks for them meanwhile waits and opens them anew. */
  closeSessions(): Promise<void> {
    const sessions = this.#sessions;
    this.#sessions = undefined;
    this.#opened = undefined;
    if (sessions) this.#closed = sessions.then((open) => open[Symbol.asyncDispose]());
    return this.#closed;
  }

  async #openSessions(): Promise<SpriteSessions> {
    // A failure to close was told to whoever closed them.
    await this.#closed.catch(() => undefined);
    try {
      this.#opened = await this.deps.keeper.open({
        spriteId: this.id,
        dir: this.deps.store.sessionsDir(this.id),
        nextId: async () => String(await this.#numbers.take()),
        onActivity: () => {
          this.onActivity();
          // The last client of a sleeping sprite may have left.
          if (!this.held) this.hooks.onSettled(this);
        },
      });
      return this.#opened;
    } catch (error) {
      this.#sessions = undefined;
      throw error;
    }
  }
}
