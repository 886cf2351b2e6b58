import type { CheckpointId, SpriteId, StartReport, VmShape } from '@sylph/model';
import type { EdgeRepository } from './edge-repository.ts';
import type { PolicyRepository } from './policy-repository.ts';
import type { SshKeyRepository } from './ssh-key-repository.ts';

/** An organization. */
export interface OrgRow {
  id: string;
  slug: string;
  /** Short random text in its sprites' URLs. */
  urlSuffix: string;
  createdAt: string;
}

/** A token; the secret itself is never stored. */
export interface TokenRow {
  id: string;
  orgId: string;
  /** SHA-256 of the secret, hex: it is 256 random bits, so nothing slower is called for. */
  secretHash: string;
  description: string;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

/** What is durable of a sprite besides its files. */
export interface SpriteRow {
  id: SpriteId;
  orgId: string;
  name: string;
  createdAt: string;
  updatedAt: string;
  labels: string[];
  urlAuth: 'sprite' | 'public';
  privateAccess: 'admins' | 'org_users';
  environment: Record<string, string>;
  shape: VmShape;
  idleTimeoutS: number;
  imageName: string;
  imageDigest: string;
  /** Host user its VM runs as; unique among sprites. */
  uid: number;
  parentSpriteId: string | null;
  parentCheckpoint: string | null;
  /** Checkpoint the present descends from. */
  currentCheckpoint: CheckpointId | null;
  nextCheckpoint: number;
  nextSession: number;
  /** `awake`: the daemon last left it with a VM; corrected at start by what exists. */
  lastState: 'new' | 'awake' | 'memory' | 'disk' | 'failed';
  reason: string | null;
  lastRunningAt: string | null;
  lastWarmingAt: string | null;
  lastStart: StartReport | null;
}

/** What is durable of a checkpoint besides its files. */
export interface CheckpointRow {
  spriteId: SpriteId;
  id: CheckpointId;
  createdAt: string;
  comment: string;
  isAuto: boolean;
  parent: CheckpointId | null;
  kind: 'memory' | 'disk';
  sizeBytes: number;
  damaged: boolean;
}

/** An answer kept for `Idempotency-Key`. */
export interface IdempotencyRow {
  orgId: string;
  key: string;
  requestHash: string;
  status: number;
  body: string;
  createdAt: string;
}

/** A message about a job's end that has not reached its receiver yet. */
export interface DeliveryRow {
  id: string;
  orgId: string;
  url: string;
  /** Key that signs it. */
  secret: string;
  body: string;
  attempts: number;
  nextAttemptAt: string;
}

/**
 * Rows. The only place with SQL. Every write is durable when it returns (a power cut does not undo it). Callers serialize writes per sprite; different sprites may be written at once.
 * All lists are paged by the caller or bounded by nature; nothing scans all sprites on a request path.
 */
export interface Repository extends AsyncDisposable {
  readonly policies: PolicyRepository;
  readonly edge: EdgeRepository;
  readonly sshKeys: SshKeyRepository;

  orgBySlug(slug: string): Promise<OrgRow | undefined>;
  orgBySuffix(urlSuffix: string): Promise<OrgRow | undefined>;
  org(id: string): Promise<OrgRow | undefined>;
  /** Finds or makes the organization. */
  ensureOrg(slug: string): Promise<OrgRow>;

  insertToken(row: TokenRow): Promise<void>;
  token(id: string): Promise<TokenRow | undefined>;
  tokens(orgId?: string): Promise<TokenRow[]>;
  revokeToken(id: string, at: string): Promise<boolean>;
  /** Sets `lastUsedAt`. */
  touchToken(id: string, at: string): Promise<void>;

  /** All or none, also across a crash; one with a parent takes its policies over. Each takes the lowest free uid from `uidBase` up. In the order given. Throws `name_taken`. */
  insertSprites(rows: readonly Omit<SpriteRow, 'uid'>[], uidBase: number): Promise<SpriteRow[]>;
  sprite(id: SpriteId): Promise<SpriteRow | undefined>;
  spriteByName(orgId: string, name: string): Promise<SpriteRow | undefined>;
  /** By name, after `after`, at most `limit`. */
  listSprites(query: {
    orgId: string;
    prefix?: string | undefined;
    after?: string | undefined;
    limit: number;
  }): Promise<SpriteRow[]>;
  /** Sprites per `lastState`. */
  countSprites(orgId?: string): Promise<Record<SpriteRow['lastState'], number>>;
  /** All ids, in pages, for the sweep at start. */
  spriteIds(): AsyncIterable<SpriteId>;
  /** Sprites to look at when the daemon starts: all whose `lastState` is `awake`. */
  awakeSprites(): Promise<SpriteRow[]>;
  updateSprite(id: SpriteId, patch: Partial<Omit<SpriteRow, 'id' | 'orgId' | 'uid'>>): Promise<SpriteRow>;
  /** Takes the next `count` numbers of a per-sprite counter, never given twice; the first of them. */
  takeCounter(id: SpriteId, counter: 'nextCheckpoint' | 'nextSession', count?: number): Promise<number>;
  /** With all rows that belong to it. */
  removeSprite(id: SpriteId): Promise<void>;

  insertCheckpoint(row: CheckpointRow): Promise<void>;
  checkpoint(spriteId: SpriteId, id: CheckpointId): Promise<CheckpointRow | undefined>;
  /** Newest first. */
  checkpoints(spriteId: SpriteId): Promise<CheckpointRow[]>;
  updateCheckpoint(
    spriteId: SpriteId,
    id: CheckpointId,
    patch: Partial<Pick<CheckpointRow, 'damaged' | 'comment'>>,
  ): Promise<void>;
  removeCheckpoint(spriteId: SpriteId, id: CheckpointId): Promise<void>;

  /** Once per id: a second one changes nothing. */
  insertDelivery(row: DeliveryRow): Promise<void>;
  /** Earliest first, none of `exceptOrgs`; what is passed over is not loaded. */
  nextDeliveries(limit: number, exceptOrgs?: readonly string[]): Promise<DeliveryRow[]>;
  updateDelivery(id: string, patch: Pick<DeliveryRow, 'attempts' | 'nextAttemptAt'>): Promise<void>;
  removeDelivery(id: string): Promise<void>;

  idempotent(orgId: string, key: string): Promise<IdempotencyRow | undefined>;
  insertIdempotent(row: IdempotencyRow): Promise<void>;
  /** Drops answers older than `before`. */
  pruneIdempotent(before: string): Promise<void>;
}
