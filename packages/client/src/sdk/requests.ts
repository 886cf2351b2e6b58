import type { CreateSpriteRequest, UpdateSpriteRequest } from '@sylph/model';
import type { CreateSpriteOptions, SpriteConfig, UpdateSpriteOptions, URLSettings } from './types.ts';

/** Names of {@link CreateSpriteOptions} that no {@link SpriteConfig} has. */
const optionNames: (keyof CreateSpriteOptions)[] = [
  'config',
  'environment',
  'urlSettings',
  'labels',
  'waitForCapacity',
  'runtime',
  'from',
  'idleTimeoutSeconds',
  'idempotencyKey',
  'signal',
];

/** Both forms of `createSprite`: all options in one, or the size and the others. */
export function createOptions(
  configOrOptions: SpriteConfig | CreateSpriteOptions = {},
  others: Omit<CreateSpriteOptions, 'config'> = {},
): CreateSpriteOptions {
  if (optionNames.some((name) => name in configOrOptions)) return configOrOptions as CreateSpriteOptions;
  const config = configOrOptions as SpriteConfig;
  return Object.keys(config).length === 0 ? others : { ...others, config };
}

export function toCreateRequest(name: string, options: CreateSpriteOptions): CreateSpriteRequest {
  const { config, environment, urlSettings, labels, waitForCapacity, runtime, from, idleTimeoutSeconds } = options;
  return defined<CreateSpriteRequest>({
    name,
    config: config === undefined ? undefined : toConfig(config),
    environment,
    url_settings: urlSettings === undefined ? undefined : toUrlSettings(urlSettings),
    labels,
    wait_for_capacity: waitForCapacity,
    runtime,
    from,
    idle_timeout_s: idleTimeoutSeconds,
  });
}

export function toUpdateRequest({
  urlSettings,
  labels,
  idleTimeoutSeconds,
}: Omit<UpdateSpriteOptions, 'signal'>): UpdateSpriteRequest {
  return defined<UpdateSpriteRequest>({
    url_settings: urlSettings === undefined ? undefined : toUrlSettings(urlSettings),
    labels,
    idle_timeout_s: idleTimeoutSeconds,
  });
}

function toConfig({ ramMB, cpus, region, storageGB }: SpriteConfig): NonNullable<CreateSpriteRequest['config']> {
  return defined<NonNullable<CreateSpriteRequest['config']>>({ ram_mb: ramMB, cpus, region, storage_gb: storageGB });
}

/** The server says which values it takes. */
function toUrlSettings({ auth, privateAccess }: URLSettings): NonNullable<UpdateSpriteRequest['url_settings']> {
  return { auth, private_access: privateAccess } as NonNullable<UpdateSpriteRequest['url_settings']>;
}

/** The fields that have a value. */
function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
