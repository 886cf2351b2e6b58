import fs from 'node:fs';
import path from 'node:path';
import { failpointNames, type FailpointAction } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { parse as parseToml } from 'smol-toml';
import * as z from 'zod';

/** Root of the installation: where images/ specs and, after set-up, .cache/guest lie. */
const installation = path.resolve(import.meta.dirname, '../../..');

/** Configuration file that is read where it exists and no other is named. */
export const defaultConfigFile = '/etc/sylph/sylphd.toml';

const listenAddress = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'is HOST:PORT, such as 127.0.0.1:7777');
const wholeNumber = z.coerce.number().int();

/**
 * Every setting of the daemon, once: `--flag`, `SYLPH_FLAG` in the environment, `flag` in the configuration file (TOML, dashes as underscores), in this order of precedence.
 */
export const settings = {
  'data-dir': { schema: z.string().min(1), default: '/var/lib/sylph', help: 'where everything is kept' },
  listen: { schema: listenAddress, default: '127.0.0.1:7777', help: 'address of the API' },
  'log-level': {
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    help: 'least severe message logged',
  },
  accel: {
    schema: z.enum(['auto', 'kvm', 'tcg']),
    default: 'auto',
    help: 'auto uses KVM where it really runs a guest',
  },
  network: {
    schema: z.enum(['auto', 'namespaces', 'user', 'none']),
    default: 'auto',
    help: 'auto gives each sprite a network namespace where the host can, else user mode; none gives guests no way out',
  },
  'network-range': {
    schema: z.cidrv4('is an IPv4 network such as 198.18.0.0/15'),
    default: '198.18.0.0/15',
    help: 'addresses between this host and the namespaces of sprites; nothing else of the host may use them',
  },
  'network-slots': {
    schema: wholeNumber.min(1).max(1_000),
    default: 8,
    help: 'network namespaces kept ready for sprites that wake',
  },
  'network-linger': {
    schema: wholeNumber.min(0).max(86_400),
    default: 300,
    help: "seconds a sleeping sprite's namespace is kept, so that its connections outlive a short sleep",
  },
  'network-allow': {
    schema: z.string(),
    default: '',
    help: 'networks, comma-separated, that sprites may reach although they are private, such as 10.1.0.0/16',
  },
  'dns-upstream': {
    schema: z.string(),
    default: '',
    help: "name servers asked for sprites, ADDRESS[:PORT], comma-separated; default: the host's own",
  },
  'on-shutdown': {
    schema: z.enum(['suspend', 'leave']),
    default: 'suspend',
    help: 'put sprites to sleep, or leave them running for the next daemon',
  },
  'idle-timeout': {
    schema: wholeNumber.min(0).max(31_536_000),
    default: 30,
    help: 'seconds without use before a sprite sleeps, 0 = never',
  },
  'max-awake': { schema: wholeNumber.min(0).max(100_000), default: 0, help: 'sprites awake at once, 0 = no limit' },
  'agent-silence': {
    schema: wholeNumber.min(5).max(86_400),
    default: 100,
    help: 'seconds a guest may leave the daemon without an answer before its VM is given up',
  },
  'auto-checkpoints': {
    schema: wholeNumber.min(1).max(1000),
    default: 10,
    help: 'automatic checkpoints kept per sprite',
  },
  'uid-base': {
    schema: wholeNumber.min(1000).max(4_000_000_000),
    default: 200_000,
    help: 'first of 65,536 host users that VMs run as',
  },
  'webhook-targets': {
    schema: z.enum(['public', 'any']),
    default: 'public',
    help: 'any lets users have messages about jobs sent to addresses of this host and its private networks',
  },
  'requests-per-minute': {
    schema: wholeNumber.min(0),
    default: 60_000,
    help: 'requests of one token in a minute, 0 = no limit',
  },
  'creations-per-minute': {
    schema: wholeNumber.min(0),
    default: 600,
    help: 'sprites an organization makes in a minute, forks included, 0 = no limit',
  },
  domain: { schema: z.string().min(1).max(180), default: 'sprites.localhost', help: 'domain of sprite URLs' },
  'edge-listen': {
    schema: listenAddress.or(z.literal('none')),
    default: '127.0.0.1:7780',
    help: 'address where sprite URLs are served; none: nowhere',
  },
  'edge-redirect-listen': {
    schema: listenAddress.or(z.literal('')),
    default: '',
    help: 'address where plain HTTP is sent on to HTTPS, where the edge has a certificate',
  },
  'edge-url': {
    schema: z
      .string()
      .regex(/^(https?:\/\/[^/*]*\*[^/]*)?$/, 'is a URL with * for the sprite, such as https://*.sprites.example.com'),
    default: '',
    help: 'how sprite URLs look from outside, * for the sprite; default: from domain, edge-listen and TLS',
  },
  'tls-cert': { schema: z.string(), default: '', help: 'certificate of the edge, PEM; read again when it changes' },
  'tls-key': { schema: z.string(), default: '', help: 'its key, PEM' },
  'ssh-listen': {
    schema: listenAddress.or(z.literal('none')),
    default: '127.0.0.1:7722',
    help: 'address of the SSH server; none: nowhere',
  },
  'guest-dir': {
    schema: z.string().min(1),
    default: path.join(installation, '.cache/guest'),
    help: 'kernel and agent that set-up built',
  },
  'image-cache': {
    schema: z.string().min(1),
    default: path.join(installation, '.cache/images'),
    help: 'finished images other daemons of this machine share',
  },
  'image-specs': {
    schema: z.string().min(1),
    default: path.join(installation, 'images'),
    help: 'image specifications',
  },
  failpoints: { schema: z.string(), default: '', help: 'for tests: name=kill|throw|hold:FILE, comma-separated' },
} as const;

/** Name of a setting. */
export type SettingName = keyof typeof settings;

/** Settings with every default filled in. */
export type Config = { [Name in SettingName]: z.output<(typeof settings)[Name]['schema']> };

/** Settings as given by one source; absent ones come from the next. */
export type PartialConfig = { [Name in SettingName]?: unknown };

/** Resolves the configuration: command line over environment over file over defaults. The one reader of `process.env`. Throws `invalid_request` naming the source of what does not fit. */
export function resolveConfig(
  flags: PartialConfig,
  options: { configFile?: string | undefined; environment?: NodeJS.ProcessEnv; defaultFile?: string },
): Config {
  const environment = options.environment ?? process.env;
  const defaultFile = options.defaultFile ?? defaultConfigFile;
  const named = options.configFile ?? environment['SYLPH_CONFIG'];
  const file = readFile(named ?? (fs.existsSync(defaultFile) ? defaultFile : undefined));
  const config: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const variable = `SYLPH_${name.toUpperCase().replaceAll('-', '_')}`;
    const key = name.replaceAll('-', '_');
    const [value, source] =
      flags[name as SettingName] !== undefined
        ? [flags[name as SettingName], `--${name}`]
        : environment[variable] !== undefined
          ? [environment[variable], variable]
          : file.values[key] !== undefined
            ? [file.values[key], `${key} in ${file.path}`]
            : [setting.default, name];
    const parsed = setting.schema.safeParse(value);
    if (!parsed.success)
      throw new SylphError(
        'invalid_request',
        `${source}: ${parsed.error.issues.map(({ message }) => message).join('; ')}`,
        { hint: `${name}: ${setting.help}.` },
      );
    config[name] = parsed.data;
  }
  return config as Config;
}

function readFile(file: string | undefined): { path: string; values: Record<string, unknown> } {
  if (file === undefined) return { path: '', values: {} };
  let values: Record<string, unknown>;
  try {
    values = parseToml(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw new SylphError(
      'invalid_request',
      `the configuration file ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  const known = new Set(Object.keys(settings).map((name) => name.replaceAll('-', '_')));
  const unknown = Object.keys(values).filter((key) => !known.has(key));
  if (unknown.length > 0)
    throw new SylphError('invalid_request', `${file} sets ${unknown.join(', ')}, which no setting is called`, {
      hint: `Settings: ${[...known].join(', ')}.`,
    });
  return { path: file, values };
}

/** Splits HOST:PORT. */
export function parseListen(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) };
}

/** Parses the failpoints setting. */
export function parseFailpoints(text: string): Map<string, FailpointAction> {
  const armed = new Map<string, FailpointAction>();
  for (const part of text.split(',').filter((item) => item !== '')) {
    const [name = '', action = ''] = part.split('=');
    if (!failpointNames.some((known) => known === name) || !/^(kill|throw|hold:\/[^:]+)$/.test(action)) {
      throw new SylphError('invalid_request', `${part} is not a failpoint`, {
        hint: `name=kill|throw|hold:FILE with one of ${failpointNames.join(', ')}.`,
      });
    }
    armed.set(name, action as FailpointAction);
  }
  return armed;
}
