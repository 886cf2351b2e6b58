import * as z from 'zod';

/** Longest sprite name: `<name>-<suffix>` has to stay one DNS label of at most 63 bytes, and suffixes have 6. */
export const maxNameLength = 56;

/** Name of a sprite, unique in its organization: a DNS label. */
export const spriteName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
    'invalid sprite name format: use lower-case letters, digits and inner dashes',
  )
  .max(maxNameLength, `invalid sprite name format: at most ${maxNameLength} characters`)
  .meta({
    description: `Lower-case letters, digits, inner dashes, at most ${maxNameLength} characters`,
    examples: ['my-sprite'],
  });

/** `sprite-<uuid>`: globally unique, never reused, unchanged by restore. */
export const spriteId = z.string().regex(/^sprite-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
export type SpriteId = z.output<typeof spriteId>;

/** `v0, v1, …` made on request; `auto-<time>` made by the daemon, which consume no v-number. */
export const checkpointId = z
  .string()
  .regex(/^(v(0|[1-9][0-9]{0,8})|auto-[0-9]{8}-[0-9]{6}-[0-9a-f]{4})$/, 'unknown checkpoint id');
export type CheckpointId = z.output<typeof checkpointId>;

/** Small decimal string, counted per sprite and never reused. */
export const sessionId = z.string().regex(/^[1-9][0-9]{0,9}$/, 'unknown session id');
export type SessionId = z.output<typeof sessionId>;

/** Slug of an organization. */
export const orgSlug = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
    'an organization is named with lower-case letters, digits and inner dashes, at most 40',
  );

/** Digest that names an image, a guest or a genesis in the pool: 64 hex digits, or their first 16 where a key is enough. */
export const digest = z.string().regex(/^[0-9a-f]{16,64}$/);
export type Digest = z.output<typeof digest>;

/** Name of an image: what `sylphd image build` takes. */
export const imageName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?$/,
    'an image is named with lower-case letters, digits, dots and dashes',
  );

/** Label of a sprite: free text without control characters. */
export const label = z
  .string()
  .min(1)
  .max(128)
  .regex(/^\P{Cc}+$/u, 'labels hold no control characters');
