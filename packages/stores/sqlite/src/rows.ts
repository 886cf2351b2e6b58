import type {
  CheckpointRow,
  DeliveryRow,
  DomainRow,
  IdempotencyRow,
  LinkRow,
  OrgRow,
  SpritePolicies,
  SpriteRow,
  SshKeyRow,
  TokenRow,
} from '@sylph/engine';
import {
  checkpointId,
  environment,
  type NetworkDenial,
  networkDenial,
  networkPolicy,
  privilegesPolicy,
  resourcesPolicy,
  type SpriteId,
  spriteId,
  startReport,
  vmShape,
} from '@sylph/model';
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

const policiesRow = z.object({
  network: json(networkPolicy).nullable(),
  privileges: json(privilegesPolicy).nullable(),
  resources: json(resourcesPolicy).nullable(),
});

const denialRow = z.object({
  kind: networkDenial.shape.kind,
  target: z.string(),
  port: z.int(),
  protocol: z.string(),
  reason: networkDenial.shape.reason,
  name: z.string().nullable(),
  amount: z.int(),
  firstAt: z.string(),
  lastAt: z.string(),
});

const linkRow = z.object({
  id: z.string(),
  spriteId,
  secretHash: z.string(),
  port: z.int().nullable(),
  passwordHash: z.string().nullable(),
  description: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
});

const domainRow = z.object({ domain: z.string(), spriteId, createdAt: z.string() });

const sshKeyRow = z.object({
  id: z.string(),
  orgId: z.string(),
  name: z.string(),
  type: z.string(),
  publicKey: z.string(),
  fingerprint: z.string(),
  createdAt: z.string(),
  lastUsedAt: z.string().nullable(),
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
  spritePolicies: { spriteId: string } & z.input<typeof policiesRow>;
  orgPolicies: { orgId: string; network: string };
  denials: { spriteId: string } & z.input<typeof denialRow>;
  links: z.input<typeof linkRow>;
  domains: z.input<typeof domainRow>;
  sshKeys: z.input<typeof sshKeyRow>;
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
  policies: (row: z.input<typeof policiesRow>): SpritePolicies => {
    const { network, privileges, resources } = policiesRow.parse(row);
    return { network: network ?? undefined, privileges: privileges ?? undefined, resources: resources ?? undefined };
  },
  toPolicies: (patch: { [Kind in keyof SpritePolicies]?: SpritePolicies[Kind] | null }) =>
    defined(policiesRow.partial().encode(patch)),
  denial: (row: z.input<typeof denialRow>): NetworkDenial => {
    const { port, protocol, amount, firstAt, lastAt, ...rest } = denialRow.parse(row);
    return {
      ...rest,
      port: port === 0 ? null : port,
      protocol: protocol === '' ? null : protocol,
      count: amount,
      first_at: firstAt,
      last_at: lastAt,
    };
  },
  toDenial: (spriteId: SpriteId, denial: NetworkDenial): Tables['denials'] => ({
    spriteId,
    kind: denial.kind,
    target: denial.target,
    port: denial.port ?? 0,
    protocol: denial.protocol ?? '',
    reason: denial.reason,
    name: denial.name,
    amount: denial.count,
    firstAt: denial.first_at,
    lastAt: denial.last_at,
  }),
  link: (row: Tables['links']): LinkRow => linkRow.parse(row),
  domain: (row: Tables['domains']): DomainRow => domainRow.parse(row),
  sshKey: (row: Tables['sshKeys']): SshKeyRow => sshKeyRow.parse(row),
};

/** Without keys whose value is undefined. */
function defined<Row extends object>(row: Row): { [Key in keyof Row]?: Exclude<Row[Key], undefined> } {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Row]?: Exclude<Row[Key], undefined>;
  };
}
