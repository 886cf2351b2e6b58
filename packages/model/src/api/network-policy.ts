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
  .union(
    [
      z.strictObject({ domain: ruleDomain, action, ports: rulePorts }),
      z.strictObject({ cidr, action, ports: rulePorts }),
      z.strictObject({ include: z.literal('defaults') }),
    ],
    {
      error:
        'is {"domain": a name, "action": "allow" or "deny"}, the same with "cidr": a network such as 198.41.0.0/24, or {"include": "defaults"}',
    },
  )
  .meta({ id: 'NetworkRule' });
export type NetworkRule = z.output<typeof networkRule>;

/**
 * What a sprite may reach. No rules: the internet. With rules: what they allow; other names are answered REFUSED, addresses that no allowed name led to are out of reach. Private, host-local and other special
 * ranges are out of reach always.
 */
export const networkPolicy = z.strictObject({ rules: z.array(networkRule).max(maxNetworkRules) }).meta({
  id: 'NetworkPolicy',
  examples: [
    {
      rules: [
        { include: 'defaults' },
        { domain: '*.example.com', action: 'allow', ports: [443] },
        { domain: 'ads.example.com', action: 'deny' },
        { cidr: '198.41.0.4', action: 'allow', ports: [53] },
      ],
    },
  ],
});
export type NetworkPolicy = z.output<typeof networkPolicy>;

const source = z.enum(['sprite', 'organization', 'none']);

/** The policy in force for a sprite. */
export const networkPolicyAnswer = networkPolicy
  .extend({
    source: source.meta({
      description: 'Whose it is: its own, that of its organization, or nobody has set one',
    }),
  })
  .meta({ id: 'NetworkPolicyInForce' });
export type NetworkPolicyAnswer = z.output<typeof networkPolicyAnswer>;

/** What is set. An answer can be sent back as it came. */
export const setNetworkPolicyRequest = networkPolicy
  .extend({ source: source.optional().meta({ description: 'Ignored' }) })
  .meta({ id: 'SetNetworkPolicy' });

/** `GET /v1/policy/network/defaults`. */
export const networkDefaults = z
  .strictObject({ domains: z.array(z.string()).meta({ description: 'Each as the `domain` of a rule that allows it' }) })
  .meta({ id: 'NetworkDefaults' });
export type NetworkDefaults = z.output<typeof networkDefaults>;

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
export type NetworkLog = z.output<typeof networkLog>;

const effects = z
  .array(z.string())
  .optional()
  .meta({ description: 'In answers: what of it has an effect, and what has none; ignored in requests' });

/** `…/policy/privileges`. Kept and shown; a sprite is a VM of its own, so none of it has an effect on what root may do inside. */
export const privilegesPolicy = z
  .strictObject({
    profile: z.enum(['', 'minimal', 'standard', 'privileged']).optional(),
    devices: z.array(z.string().min(1).max(256)).max(64).optional(),
    noNewPrivileges: z.boolean().optional(),
  })
  .meta({ id: 'PrivilegesPolicy', examples: [{ profile: 'standard', devices: [], noNewPrivileges: false }] });
export type PrivilegesPolicy = z.output<typeof privilegesPolicy>;

/** The same with what it changes; a body may be an answer as it came. */
export const privilegesPolicyAnswer = privilegesPolicy.extend({ effects }).meta({ id: 'PrivilegesPolicyAnswer' });

/** `…/policy/resources`. Kept and shown; what bounds a sprite's memory is the size it was made with. */
export const resourcesPolicy = z
  .strictObject({
    memory: z
      .strictObject({ limit_mb: z.int().min(1).max(1_048_576).optional(), autoscale: z.boolean().optional() })
      .optional(),
  })
  .meta({ id: 'ResourcesPolicy', examples: [{ memory: { limit_mb: 2048, autoscale: false } }] });
export type ResourcesPolicy = z.output<typeof resourcesPolicy>;

/** The same with what it changes; a body may be an answer as it came. */
export const resourcesPolicyAnswer = resourcesPolicy.extend({ effects }).meta({ id: 'ResourcesPolicyAnswer' });
