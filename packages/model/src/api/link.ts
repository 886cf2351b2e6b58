import * as z from 'zod';

/** Most preview links of one sprite. */
export const maxLinks = 100;
const timestamp = z.iso.datetime();

/** `POST …/links`. */
export const createLinkRequest = z
  .strictObject({
    port: z
      .int()
      .min(1)
      .max(65_535)
      .optional()
      .meta({ description: 'Port of the sprite; absent: where its URL leads' }),
    expires_in_s: z
      .int()
      .min(60)
      .max(31_536_000)
      .nullable()
      .optional()
      .meta({ description: 'Life of the link in seconds, default 7 days; null: until it is revoked' }),
    password: z.string().min(1).max(256).optional().meta({ description: 'Asked of whoever opens the link' }),
    description: z.string().max(256).optional(),
  })
  .meta({ id: 'CreateLinkRequest' });
export type CreateLinkRequest = z.output<typeof createLinkRequest>;

/** A preview link: who has its URL needs no account. */
export const link = z
  .strictObject({
    id: z.string(),
    port: z.int().nullable(),
    description: z.string(),
    has_password: z.boolean(),
    created_at: timestamp,
    expires_at: timestamp.nullable(),
  })
  .meta({ id: 'Link' });
export type Link = z.output<typeof link>;

/** Answer of its creation: the only time its URL can be seen. */
export const createdLink = link.extend({ url: z.string() }).meta({ id: 'CreatedLink' });
export type CreatedLink = z.output<typeof createdLink>;

/** `GET …/links`, newest first. */
export const linkList = z.strictObject({ links: z.array(link) }).meta({ id: 'LinkList' });

/** A name of the internet that leads to a sprite, as far as the edge is concerned; lower case. */
export const customDomain = z
  .string()
  .max(253)
  .regex(
    /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'is a domain such as app.example.com, lower case',
  );

/** `POST …/domains`. */
export const domainRequest = z.strictObject({ domain: customDomain }).meta({ id: 'DomainRequest' });

/** A domain that leads to a sprite. */
export const spriteDomain = z.strictObject({ domain: z.string(), created_at: timestamp }).meta({ id: 'SpriteDomain' });
export type SpriteDomain = z.output<typeof spriteDomain>;

/** `GET …/domains`, by name. */
export const domainList = z.strictObject({ domains: z.array(spriteDomain) }).meta({ id: 'DomainList' });
