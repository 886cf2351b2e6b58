import type {
  Checkpoint,
  CheckpointId,
  CreateSpriteRequest,
  ForkRequest,
  PublicStatus,
  UpdateSpriteRequest,
} from '@sylph/model';
import type { GuestChannel } from './interfaces/guest-channel.ts';
import type { OrgRow } from './interfaces/repository.ts';
import type { SpriteSessions } from './interfaces/session-keeper.ts';
import type { PolicyService } from './policy-service.ts';
import type { SpriteView } from './sprite-view.ts';

/** A step of a long operation, told while it runs. */
export type Progress = (message: string) => void;

/**
 * Use of an awake sprite. While a lease is held the sprite does not go to sleep by itself; dispose it as soon as the use is over.
 * A suspend, restore or restart that somebody asks for does not wait for leases: what is under way fails with `agent_failed` or ends as lost.
 */
export interface SpriteLease extends Disposable {
  /** Something flowed: of a lease on a connection that alone keeps the sprite awake, for its idle time. */
  used(): void;
  readonly view: SpriteView;
  readonly sessions: SpriteSessions;
  readonly channel: GuestChannel;
}

/**
 * Everything that can be done with sprites. The API layer calls nothing else of the engine.
 *
 * Names are looked up in the organization given. Missing: `sprite_not_found`. A command the lifecycle table refuses: `illegal_state`, naming state and command.
 * One command runs per sprite at a time; equal ones join; others wait their turn. Promises: what is acknowledged is durable; what fails leaves the sprite as it was, or as the error says.
 * A client that goes away does not cancel a command under way.
 */
export interface SpriteService {
  readonly policies: PolicyService;

  /** Durable when it resolves; the VM starts with the first use. Throws `name_taken`, `image_not_found`, `invalid_size`, `pool_full`, `sprite_not_found` and `checkpoint_not_found` (source). */
  create(org: OrgRow, request: CreateSpriteRequest): Promise<SpriteView>;
  get(org: OrgRow, name: string): Promise<SpriteView>;
  /** By name, after `after`; one more than wanted tells that there are more. Does not wake anything. */
  list(
    org: OrgRow,
    query: { prefix?: string | undefined; after?: string | undefined; limit: number },
  ): Promise<SpriteView[]>;
  /** Names of sprites that were made, have changed or are gone from now on, until it is disposed of; what changed has to be looked up. */
  onChange(org: OrgRow, heard: (name: string) => void): Disposable;
  counts(orgId?: string): Promise<Record<PublicStatus, number>>;
  update(org: OrgRow, name: string, patch: UpdateSpriteRequest): Promise<SpriteView>;
  /** VM, files, checkpoints, rows: gone when it resolves. */
  delete(org: OrgRow, name: string): Promise<void>;

  start(org: OrgRow, name: string): Promise<SpriteView>;
  suspend(org: OrgRow, name: string): Promise<SpriteView>;
  /** Cold boot from the present disk; processes get SIGTERM first. */
  restart(org: OrgRow, name: string): Promise<SpriteView>;
  /** Like restart, into the newest kernel and agent. */
  upgrade(org: OrgRow, name: string): Promise<SpriteView>;
  /** A failed sprite: walks the ladder again from the best state there is. */
  recover(org: OrgRow, name: string): Promise<SpriteView>;
  /** Asks the agent if the sprite is awake; never wakes. `elapsedMs` is the round trip. */
  check(org: OrgRow, name: string): Promise<{ view: SpriteView; healthy: boolean; reason?: string; elapsedMs: number }>;

  /** New sprites from the present or a checkpoint, all from one capture. All or none. */
  fork(org: OrgRow, name: string, request: ForkRequest): Promise<SpriteView[]>;

  /** Keeps the present; a running sprite runs on. */
  checkpoint(org: OrgRow, name: string, options: { comment: string }): Promise<Checkpoint>;
  /** Newest first, the present not among them. */
  checkpoints(org: OrgRow, name: string): Promise<Checkpoint[]>;
  getCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<Checkpoint>;
  /** Throws `checkpoint_in_use` for the one the present descends from. */
  deleteCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<void>;
  /** Saves the present as an `auto-` checkpoint, then goes to the checkpoint. On failure the present is back and the error says so. `savedAs` is undefined when there was no present that could be read. */
  restore(
    org: OrgRow,
    name: string,
    id: CheckpointId,
    options: { mode: 'memory' | 'disk' },
    progress: Progress,
  ): Promise<{ view: SpriteView; savedAs: CheckpointId | undefined }>;

  /**
   * Wakes the sprite if need be and holds it awake. `connection`: only {@link SpriteLease.used} does; silent for longer than its idle time, the sprite sleeps and what runs over the lease's channel breaks.
   */
  use(org: OrgRow, name: string, options?: { signal?: AbortSignal; connection?: boolean }): Promise<SpriteLease>;
  /** Sessions without waking; undefined when the sprite never ran. */
  peekSessions(org: OrgRow, name: string): Promise<SpriteSessions | undefined>;
  /** The way to the guest of a sprite that is awake, without waking or holding it; undefined when it is not. */
  peekChannel(org: OrgRow, name: string): Promise<GuestChannel | undefined>;
}
