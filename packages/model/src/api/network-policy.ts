import * as z from 'zod';

/** Most rules of one policy. */
export const maxNetworkRules = 1_000;

const action = z.enum(['allow', 'deny']);

/** Name a rule is about: a host name, `*.` and a suffix, or `*`. Compared without regard to case and final dot; other scripts in their ASCII form (IDNA). */
export const ruleDomain = z
  .string()
  .max(253)
  .regex(
    /^(\*|(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)$/i,
    'is a host name such as example.com, *.example.com or *',
  );

/** TCP and UDP ports a rule is about; absent: all. */
const rulePorts = z
  .array(z.int().min(1).max(65_535))
  .min(1)
  .max(64)
  .optional()
  .meta({ description: 'TCP and UDP ports; absent: all' });

const cidr = z
  .union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()])
  .meta({ description: 'A network or an address, IPv4 or IPv6' });

/** One rule. Of domains the most exact decides: a name, then the longest `*.suffix`, then `*`. Of networks the smallest; `deny` where two are equal. */
export const networkRule = z
  .union([
    z.strictObject({ domain: ruleDomain, action, ports: rulePorts }),
    z.strictObject({ cidr, action, ports: rulePorts }),
    z.strictObject({ include: z.literal('defaults') }),
  ])
  .meta({ id: 'NetworkRule' });
export type NetworkRule = z.output<typeof networkRule>;

/**
 * What a sprite may reach. No rules: the internet. With rules: what they allow; other names are answered REFUSED, addresses that no allowed name led to are out of reach. Private, host-local and other special
 * ranges are out of reach always.
 */
export const networkPolicy = z
  .strictObject({ rules: z.array(networkRule).max(maxNetworkRules) })
  .meta({ id: 'NetworkPolicy' });
export type NetworkPolicy = z.output<typeof networkPolicy>;

/** What a sprite was denied, counted per target. */
export const networkDenial = z
  .strictObject({
    kind: z.enum(['name', 'address']).meta({ description: 'Refused when it was looked up, or when it was spoken to' }),
    target: z.string().meta({ description: 'The name, or the address' }),
    /** Null for a name. */
    port: z.int().nullable(),
    protocol: z.string().nullable().meta({ description: '`tcp`, `udp`, `icmp` or a number; null for a name' }),
    name: z.string().nullable().meta({ description: 'Name the address was last given out for, if any' }),
    reason: z.enum(['policy', 'special-range', 'foreign-dns', 'rebinding', 'rate', 'other-port']),
    count: z.int(),
    first_at: z.iso.datetime(),
    last_at: z.iso.datetime(),
  })
  .meta({ id: 'NetworkDenial' });
export type NetworkDenial = z.output<typeof networkDenial>;

/** `GET …/policy/network/log`. */
export const networkLogQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).optional().meta({ description: 'Default 100' }),
});
/** The last denied first; at most 1,000 targets are remembered per sprite. */
export const networkLog = z.strictObject({ denials: z.array(networkDenial) }).meta({ id: 'NetworkLog' });

/** `…/policy/privileges`. Kept and shown; a sprite is a VM of its own, so none of it has an effect on what root may do inside. */
export const privilegesPolicy = z
  .strictObject({
    profile: z.enum(['', 'minimal', 'standard', 'privileged']).optional(),
    devices: z.array(z.string().min(1).max(256)).max(64).optional(),
    noNewPrivileges: z.boolean().optional(),
  })
  .meta({ id: 'PrivilegesPolicy' });
export type PrivilegesPolicy = z.output<typeof privilegesPolicy>;

/** `…/policy/resources`. */
export const resourcesPolicy = z
  .strictObject({
    memory: z
      .strictObject({ limit_mb: z.int().min(1).max(1_048_576).optional(), autoscale: z.boolean().optional() })
      .optional(),
  })
  .meta({ id: 'ResourcesPolicy' });
export type ResourcesPolicy = z.output<typeof resourcesPolicy>;
