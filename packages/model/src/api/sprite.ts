import * as z from 'zod';
import { checkpointId, imageName, label, spriteName } from '../ids.ts';
import { states } from '../lifecycle.ts';

/** Who may open a sprite's URL. */
export const urlSettings = z
  .strictObject({
    auth: z
      .enum(['sprite', 'public'], 'invalid auth type, must be one of: sprite, public')
      .optional()
      .meta({ description: 'Default `sprite`' }),
    private_access: z
      .enum(['admins', 'org_users'])
      .optional()
      .meta({ description: 'Default `org_users`. Kept and shown; nothing asks for it yet' }),
  })
  .meta({ id: 'UrlSettings' });

/** Size of a sprite; every value is checked against the host. `region` is accepted and has no effect on one machine. */
export const spriteConfig = z
  .strictObject({
    cpus: z.int().min(1).max(64).optional().meta({ description: 'Virtual processors, default 2' }),
    ram_mb: z.int().min(256).max(1_048_576).optional().meta({ description: 'Memory in MiB, default 2048' }),
    storage_gb: z.int().min(2).max(16_384).optional().meta({ description: 'Root disk in GiB, default 20' }),
    region: z.string().max(64).optional().meta({ description: 'Accepted, without effect on one machine' }),
  })
  .meta({ id: 'SpriteConfig' });

/** Most of a sprite's environment, characters of names and values: it travels with every command, together with the command's own. */
const maxEnvironmentLength = 32_768;

/** Environment variables: names as a shell takes them, values without NUL. */
export const environment = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not a name of an environment variable')
      .max(256),
    z.string().refine((value) => !value.includes('\0'), 'holds a NUL byte'),
  )
  .refine(
    (variables) => Object.entries(variables).flat().join('').length <= maxEnvironmentLength,
    `takes more than ${maxEnvironmentLength} characters`,
  );

/** Seconds without use after which a sprite goes to sleep; 0 = never. */
export const idleTimeoutS = z
  .int()
  .min(0)
  .max(31_536_000)
  .meta({ description: 'Seconds without use before the sprite sleeps; 0 = never; default 30' });

const labels = z.array(label).max(64);

/** Where a new sprite starts: another sprite (its present, or one of its checkpoints) or an image. */
export const spriteSource = z
  .union([
    z.strictObject({ sprite: spriteName, checkpoint: checkpointId.optional() }),
    z.strictObject({ image: imageName }),
  ])
  .meta({ id: 'SpriteSource' });

/** `POST /v1/sprites`. Unknown keys are ignored, as the public API demands. */
export const createSpriteRequest = z
  .object({
    name: spriteName,
    url_settings: urlSettings.optional(),
    labels: labels.optional(),
    environment: environment
      .optional()
      .meta({ description: 'Given to every command and service, over the defaults and below their own' }),
    config: spriteConfig.optional(),
    idle_timeout_s: idleTimeoutS.optional(),
    from: spriteSource.optional(),
    wait_for_capacity: z.boolean().optional().meta({
      description:
        'Accepted, without effect: a sprite is made at once, and what starts it is refused (429) while too many are awake',
    }),
    runtime: z
      .string()
      .max(64)
      .optional()
      .meta({ description: 'Accepted, without effect: there is one runtime; `from.image` chooses an image' }),
  })
  .meta({ id: 'CreateSpriteRequest' });
export type CreateSpriteRequest = z.output<typeof createSpriteRequest>;

/** `PUT /v1/sprites/{name}`: what is absent stays. */
export const updateSpriteRequest = z
  .strictObject({
    url_settings: urlSettings.optional(),
    labels: labels.optional().meta({ description: 'Replaces the whole list' }),
    clear_labels: z
      .boolean()
      .optional()
      .meta({ description: 'Empties the list; `labels`, where given too, fills it anew' }),
    idle_timeout_s: idleTimeoutS.optional(),
  })
  .meta({ id: 'UpdateSpriteRequest' });
export type UpdateSpriteRequest = z.output<typeof updateSpriteRequest>;

/** `POST /v1/sprites/{name}/fork`. With `count` N the new names get `-1` … `-N`. */
export const forkRequest = z
  .strictObject({
    name: spriteName,
    checkpoint: checkpointId.optional(),
    labels: labels.optional(),
    count: z.int().min(1).max(100).optional(),
  })
  .meta({ id: 'ForkRequest' });
export type ForkRequest = z.output<typeof forkRequest>;

/** One step of the way a sprite last started, with the reason where a better one was not possible. */
export const startReport = z
  .strictObject({
    how: z.enum(['memory', 'disk', 'checkpoint']),
    checkpoint: z.string().optional(),
    at: z.iso.datetime(),
    duration_ms: z.number(),
    failures: z.array(z.strictObject({ how: z.string(), reason: z.string() })),
  })
  .meta({ id: 'StartReport' });
export type StartReport = z.output<typeof startReport>;

const timestamp = z.iso.datetime();

/** A sprite as the API shows it. */
export const sprite = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    organization: z.string(),
    org_slug: z.string(),
    url: z.string(),
    url_settings: z.strictObject({
      auth: z.enum(['sprite', 'public']),
      private_access: z.enum(['admins', 'org_users']),
    }),
    status: z.enum(['cold', 'warm', 'running']).meta({
      description:
        '`cold`: starts by booting, as a new one does; `warm`: asleep with its memory, however long; `running`: awake',
    }),
    state: z.enum(states).meta({ description: 'Finer than `status`' }),
    reason: z
      .string()
      .nullable()
      .meta({ description: 'Why it is in this state when that is not by request: a failed wake, a VM that died' }),
    created_at: timestamp,
    updated_at: timestamp,
    last_running_at: timestamp.nullable(),
    last_warming_at: timestamp.nullable(),
    version: z.string().nullable(),
    environment_version: z.string().nullable(),
    labels: z.array(z.string()),
    config: z.strictObject({ cpus: z.int(), ram_mb: z.int(), storage_gb: z.int() }),
    environment: z.record(z.string(), z.string()),
    idle_timeout_s: z.int(),
    image: z.string().meta({ description: 'Image the disk descends from' }),
    parent: z.strictObject({ sprite_id: z.string(), checkpoint: z.string().nullable() }).nullable(),
    last_start: startReport.nullable(),
  })
  .meta({ id: 'Sprite' });
export type Sprite = z.output<typeof sprite>;

/** Counters of an organization; clients read them in `org` or at top level, so both are sent. */
export const orgCounts = z
  .strictObject({
    name: z.string(),
    running: z.int(),
    warm: z.int(),
    cold: z.int(),
    running_limit: z.int().meta({
      description: 'Sprites that may be awake at once on this host, of all organizations together; 0 = no limit',
    }),
    warm_limit: z.int().meta({ description: 'Always 0: sleeping sprites are not limited' }),
  })
  .meta({ id: 'OrgCounts' });

/** `GET /v1/sprites`. `max_results` beyond 50 is served as 50: clients send 100. */
export const listSpritesQuery = z.object({
  prefix: z.string().max(64).optional(),
  max_results: z.coerce.number().int().min(1).optional().meta({ description: 'Beyond 50 as 50; default 50' }),
  continuation_token: z.string().max(256).optional(),
});
/** A page of `GET /v1/sprites`, by name. The token is null on the last one. */
export const listSpritesResponse = z
  .strictObject({
    sprites: z.array(sprite),
    has_more: z.boolean(),
    next_continuation_token: z.string().nullable(),
    org: orgCounts,
    ...orgCounts.shape,
  })
  .meta({ id: 'SpriteList' });
export type ListSpritesResponse = z.output<typeof listSpritesResponse>;

/** `POST …/fork`: the sprites that now exist. */
export const forkResponse = z.strictObject({ sprites: z.array(sprite) }).meta({ id: 'ForkResult' });

/** `POST …/restart`. */
export const restartResponse = z
  .strictObject({ sprite_name: z.string(), machine_id: z.string(), message: z.string() })
  .meta({ id: 'RestartResult' });

/** `GET …/check`: asks the sprite's agent if it is awake. `elapsed` is in milliseconds. */
export const checkResponse = z
  .strictObject({
    sprite_name: z.string(),
    sprite_id: z.string(),
    status: z.string(),
    reason: z.string().optional(),
    checked_at: timestamp,
    elapsed: z.number(),
  })
  .meta({ id: 'CheckResult' });
