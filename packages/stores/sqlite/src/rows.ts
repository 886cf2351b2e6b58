import type { CheckpointRow, DeliveryRow, IdempotencyRow, OrgRow, SpriteRow, TokenRow } from '@sylph/engine';
import { checkpointId, environment, spriteId, startReport, vmShape } from '@sylph/model';
import type { Generated } from 'kysely';
import * as z from 'zod';

/** A value kept as JSON text. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the codec's output is the schema's
const json = <Schema extends z.ZodType>(schema: Schema) =>
  z.codec(z.string(), schema, {
    decode: (text) => JSON.parse(text) as z.input<Schema>,
    encode: (value) => JSON.stringify(value),
  });

/** A truth kept as 0 or 1. */
const flag = z.codec(z.int().min(0).max(1), z.boolean(), {
  decode: (number) => number === 1,
  encode: (value) => (value ? 1 : 0),
});

const orgRow = z.object({ id: z.string(), slug: z.string(), urlSuffix: z.string(), createdAt: z.string() });

const tokenRow = z.object({
  id: z.string(),
  orgId: z.string(),
  secretHash: z.string(),
  description: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
});

const spriteRow = z.object({
  id: spriteId,
  orgId: z.string(),
  name: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
  labels: json(z.array(z.string())),
  urlAuth: z.enum(['sprite', 'public']),
  privateAccess: z.enum(['admins', 'org_users']),
  environment: json(environment),
  shape: json(vmShape),
  idleTimeoutS: z.int(),
  imageName: z.string(),
  imageDigest: z.string(),
  uid: z.int(),
  parentSpriteId: z.string().nullable(),
  parentCheckpoint: z.string().nullable(),
  currentCheckpoint: checkpointId.nullable(),
  nextCheckpoint: z.int(),
  nextSession: z.int(),
  lastState: z.enum(['new', 'awake', 'memory', 'disk', 'failed']),
  reason: z.string().nullable(),
  lastRunningAt: z.string().nullable(),
  lastWarmingAt: z.string().nullable(),
  lastStart: json(startReport).nullable(),
});

const checkpointRow = z.object({
  spriteId,
  id: checkpointId,
  createdAt: z.string(),
  comment: z.string(),
  isAuto: flag,
  parent: checkpointId.nullable(),
  kind: z.enum(['memory', 'disk']),
  sizeBytes: z.int(),
  damaged: flag,
});

const idempotencyRow = z.object({
  orgId: z.string(),
  key: z.string(),
  requestHash: z.string(),
  status: z.int(),
  body: z.string(),
  createdAt: z.string(),
});

const deliveryRow = z.object({
  id: z.string(),
  orgId: z.string(),
  url: z.string(),
  secret: z.string(),
  body: z.string(),
  attempts: z.int(),
  nextAttemptAt: z.string(),
});

/** Tables as Kysely sees them: what SQLite holds, in camel case. */
export interface Tables {
  orgs: z.input<typeof orgRow>;
  tokens: z.input<typeof tokenRow>;
  sprites: z.input<typeof spriteRow>;
  spriteCounts: { orgId: string; lastState: SpriteRow['lastState']; amount: number };
  checkpoints: z.input<typeof checkpointRow> & { ordinal: Generated<number> };
  idempotency: z.input<typeof idempotencyRow>;
  deliveries: z.input<typeof deliveryRow>;
}

/**
 * Rows between the database and the engine. Reading checks every value: a database is a file that people and old versions have written. A row that does not fit throws.
 */
export const rows = {
  org: (row: Tables['orgs']): OrgRow => orgRow.parse(row),
  token: (row: Tables['tokens']): TokenRow => tokenRow.parse(row),
  sprite: (row: Tables['sprites']): SpriteRow => spriteRow.parse(row),
  toSprite: (row: SpriteRow): Tables['sprites'] => spriteRow.encode(row),
  toSpritePatch: (patch: Partial<SpriteRow>): Partial<Tables['sprites']> => defined(spriteRow.partial().encode(patch)),
  checkpoint: (row: z.input<typeof checkpointRow>): CheckpointRow => checkpointRow.parse(row),
  toCheckpoint: (row: CheckpointRow): z.input<typeof checkpointRow> => checkpointRow.encode(row),
  toCheckpointPatch: (patch: Partial<CheckpointRow>): Partial<z.input<typeof checkpointRow>> =>
    defined(checkpointRow.partial().encode(patch)),
  delivery: (row: Tables['deliveries']): DeliveryRow => deliveryRow.parse(row),
  idempotency: (row: Tables['idempotency']): IdempotencyRow => idempotencyRow.parse(row),
};

/** Without keys whose value is undefined. */
function defined<Row extends object>(row: Row): { [Key in keyof Row]?: Exclude<Row[Key], undefined> } {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Row]?: Exclude<Row[Key], undefined>;
  };
}
