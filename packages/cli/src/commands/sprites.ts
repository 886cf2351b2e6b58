import type { SylphClient } from '@sylph/client';
import type { CreateSpriteRequest, Sprite } from '@sylph/model';
import { command } from '../command.ts';
import { parseEnvironment } from '../exec/environment.ts';
import { friendlyName } from '../friendly-name.ts';
import { CliError, usageError } from '../failure.ts';
import { ago, seconds, status } from '../output/human.ts';
import { canAsk, confirm } from '../output/prompt.ts';
import { pairs, table } from '../output/table.ts';
import { wholeSeconds } from '../time.ts';
import { watchSprites } from './watch.ts';

const sizes = {
  cpus: { kind: 'integer', placeholder: 'N', description: 'virtual processors' },
  ram: { kind: 'text', placeholder: 'SIZE', description: 'memory: MiB, or with a unit: 4G' },
  storage: { kind: 'text', placeholder: 'SIZE', description: 'root disk: GiB, or with a unit: 40G' },
} as const;

export const create = command({
  name: 'create',
  summary: 'create a sprite',
  description: 'Without a name one is made up. The sprite starts with its first use.',
  examples: ['sylph create', 'sylph create web --ram 4G --label prod', 'sylph create copy --from web:v3'],
  arguments: [{ name: '[name]', description: 'lower-case letters, digits, inner dashes' }],
  common: ['org'],
  options: {
    label: { kind: 'list', placeholder: 'TEXT', description: 'label; repeatable' },
    image: { kind: 'text', placeholder: 'NAME', description: "image, default: the server's" },
    from: { kind: 'text', placeholder: 'SPRITE[:CHECKPOINT]', description: 'start as another sprite is, or was' },
    ...sizes,
    env: { kind: 'list', placeholder: 'K=V', description: 'variable of every command; repeatable' },
    idleTimeout: { kind: 'time', description: 'sleep after so long without use; 0 = never' },
    skipConsole: { kind: 'flag', description: 'for scripts made for another client; no console is opened anyway' },
  },
  async run(context, [name = friendlyName()], options) {
    if (options.image !== undefined && options.from !== undefined)
      throw usageError('--image and --from exclude each other');
    const request: CreateSpriteRequest = { name };
    if (options.label.length > 0) request.labels = options.label;
    if (options.env.length > 0) request.environment = parseEnvironment(options.env, context.env);
    if (options.idleTimeout !== undefined) request.idle_timeout_s = wholeSeconds('--idle-timeout', options.idleTimeout);
    const config = {
      ...(options.cpus === undefined ? {} : { cpus: options.cpus }),
      ...(options.ram === undefined ? {} : { ram_mb: parseSize('--ram', options.ram, 'M') }),
      ...(options.storage === undefined ? {} : { storage_gb: parseSize('--storage', options.storage, 'G') }),
    };
    if (Object.keys(config).length > 0) request.config = config;
    if (options.image !== undefined) request.from = { image: options.image };
    if (options.from !== undefined) request.from = parseSource(options.from);
    const client = await context.client();
    const made = await context.out.waiting(`waiting for ${name} to be created`, () => client.sprites.create(request));
    await context.out.result(
      made,
      () =>
        `${made.name}  created${made.image === undefined ? '' : ` from ${made.image}`}\nRun something: sylph exec -s ${made.name} -- uname -a\n`,
    );
  },
});

export const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list sprites',
  common: ['org'],
  options: {
    watch: { kind: 'flag', short: 'w', description: 'go on and show what changes' },
    prefix: { kind: 'text', placeholder: 'TEXT', description: 'only names that begin so' },
  },
  async run(context, _args, { watch, prefix }) {
    const client = await context.client();
    if (watch) await watchSprites(context, client, prefix, spriteTable(prefix));
    const sprites = await context.out.waiting('waiting for the list', () => sorted(client, prefix));
    await context.out.result(sprites, () => spriteTable(prefix)(sprites));
  },
});

export const info = command({
  name: 'info',
  summary: 'show a sprite',
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org', 'sprite'],
  async run(context, [name]) {
    const sprite = await (await context.client()).sprites.get(await context.sprite(name));
    await context.out.result(sprite, () => describeSprite(sprite));
  },
});

export const destroy = command({
  name: 'destroy',
  aliases: ['rm'],
  summary: 'delete a sprite with its disk and checkpoints',
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org', 'sprite'],
  options: { force: { kind: 'flag', short: 'f', description: 'do not ask' } },
  async run(context, [named], { force }) {
    const name = await context.sprite(named);
    const client = await context.client();
    if (!force) {
      if (!canAsk() || context.out.json)
        throw usageError(`${name} is not destroyed: there is no terminal to ask on`, 'say --force');
      // Asks only about what exists.
      await client.sprites.get(name);
      if (!(await confirm(`Destroy ${name} with its disk and checkpoints? This cannot be undone.`)))
        throw new CliError(`${name} is left as it is`, { code: 'declined' });
    }
    await context.out.waiting(`waiting for ${name} to be destroyed`, () => client.sprites.delete(name));
    await context.out.result({ name, destroyed: true }, () => `${name}  destroyed\n`);
  },
});

async function sorted(client: SylphClient, prefix: string | undefined): Promise<Sprite[]> {
  return Array.fromAsync(client.sprites.list({ prefix }));
}

function spriteTable(prefix: string | undefined): (sprites: Sprite[]) => string | Promise<string> {
  return (sprites) => {
    if (sprites.length === 0)
      return prefix === undefined
        ? 'No sprites yet. Create one: sylph create\n'
        : `No sprite's name begins with ${prefix}.\n`;
    return table(
      [
        { title: 'NAME' },
        { title: 'STATUS' },
        { title: 'IMAGE' },
        { title: 'CPUS', align: 'right' },
        { title: 'RAM', align: 'right' },
        { title: 'DISK', align: 'right' },
        { title: 'LABELS' },
        { title: 'CREATED' },
      ],
      sprites.map((each) => [
        { text: each.name, style: 'strong' },
        status(each),
        each.image ?? '',
        each.config?.cpus === undefined ? '' : String(each.config.cpus),
        each.config?.ram_mb === undefined ? '' : `${each.config.ram_mb} MiB`,
        each.config?.storage_gb === undefined ? '' : `${each.config.storage_gb} GiB`,
        (each.labels ?? []).join(', '),
        ago(each.created_at),
      ]),
    );
  };
}

function describeSprite(sprite: Sprite): string {
  const { config, last_start: start, parent } = sprite;
  return pairs([
    ['name', { text: sprite.name, style: 'strong' }],
    ['status', status(sprite)],
    ['reason', sprite.reason ?? undefined],
    ['id', sprite.id],
    ['organization', sprite.organization ?? sprite.org_slug],
    ['url', sprite.url],
    ['url auth', sprite.url_settings?.auth],
    ['image', sprite.image],
    [
      'size',
      config?.cpus === undefined
        ? undefined
        : `${config.cpus} cpus, ${config.ram_mb} MiB, ${config.storage_gb} GiB disk`,
    ],
    [
      'sleeps after',
      sprite.idle_timeout_s === undefined
        ? undefined
        : sprite.idle_timeout_s === 0
          ? 'never'
          : seconds(sprite.idle_timeout_s),
    ],
    ['labels', (sprite.labels ?? []).join(', ')],
    ['environment', Object.keys(sprite.environment ?? {}).join(', ')],
    ['agent', sprite.version ?? undefined],
    [
      'came from',
      parent === null || parent === undefined
        ? undefined
        : `${parent.sprite_id}${parent.checkpoint === null ? '' : ` at ${parent.checkpoint}`}`,
    ],
    ['created', `${sprite.created_at} (${ago(sprite.created_at)})`],
    [
      'last running',
      sprite.last_running_at === null || sprite.last_running_at === undefined
        ? undefined
        : `${sprite.last_running_at} (${ago(sprite.last_running_at)})`,
    ],
    [
      'last start',
      start === null || start === undefined
        ? undefined
        : `from ${start.how}${start.checkpoint === undefined ? '' : ` ${start.checkpoint}`} in ${Math.round(start.duration_ms)} ms`,
    ],
    ...(start?.failures ?? []).map((failure) => [`not from ${failure.how}`, failure.reason] as const),
  ]);
}

function parseSource(text: string): { sprite: string; checkpoint?: string } {
  const [sprite = '', checkpoint, ...rest] = text.split(':');
  if (sprite === '' || checkpoint === '' || rest.length > 0)
    throw usageError(`--from ${text}: not of the form SPRITE or SPRITE:CHECKPOINT`);
  return checkpoint === undefined ? { sprite } : { sprite, checkpoint };
}

const mibOf = { M: 1, G: 1024, T: 1024 * 1024 } as const;

/** A size in the unit the server counts in; sizes between two units are refused rather than rounded. */
function parseSize(flag: string, text: string, unit: 'M' | 'G'): number {
  const match = /^(\d+)(?:([MGT])(?:i?B)?)?$/i.exec(text);
  if (match === null) throw usageError(`${flag} ${text}: not a size`, 'write a number, or a number with M, G or T');
  const given = (match[2]?.toUpperCase() ?? unit) as keyof typeof mibOf;
  const value = (Number(match[1]) * mibOf[given]) / mibOf[unit];
  if (!Number.isSafeInteger(value)) throw usageError(`${flag} ${text}: not a whole number of ${unit}iB`);
  return value;
}
