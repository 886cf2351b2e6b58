import type { NetworkPolicy, NetworkRule } from '@sylph/model';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { CliError, usageError } from '../failure.ts';
import { withoutTargets, withRules } from '../policy/change.ts';
import { rulesFrom } from '../policy/rules-file.ts';
import { shownPolicy } from '../policy/shown.ts';
import { targetRule } from '../policy/target.ts';
import { log } from './policy-log.ts';

const orgWide = {
  kind: 'flag',
  description: "the organization's policy, for sprites without one of their own",
} as const;
const targets = {
  name: '<target…>',
  description: 'NAME, *.NAME, *, ADDRESS or NETWORK, each with :PORT,… for these ports only',
} as const;

/** A policy that is meant: a sprite's or the organization's. */
interface Subject {
  /** For people. */
  title: string;
  get(): Promise<NetworkPolicy & { source?: string }>;
  set(policy: NetworkPolicy): Promise<void>;
  reset(): Promise<void>;
}

async function subject(context: Context, forOrg: boolean): Promise<Subject> {
  const { policies } = await context.client();
  if (forOrg)
    return {
      title: 'the organization',
      get: () => policies.orgNetwork(),
      set: (policy) => policies.setOrgNetwork(policy),
      reset: () => policies.resetOrgNetwork(),
    };
  const sprite = await context.sprite();
  return {
    title: sprite,
    get: () => policies.network(sprite),
    set: (policy) => policies.setNetwork(sprite, policy),
    reset: () => policies.resetNetwork(sprite),
  };
}

const get = command({
  name: 'get',
  aliases: ['show'],
  summary: 'show what a sprite may reach',
  common: ['org', 'sprite'],
  options: { orgWide },
  async run(context, _args, options) {
    const meant = await subject(context, options.orgWide);
    const policy = await meant.get();
    await context.out.result(policy, () => shownPolicy(meant.title, policy));
  },
});

const set = command({
  name: 'set',
  summary: 'replace the policy by one from a file, or from stdin',
  description: 'JSON: {"rules": […]} or the rules alone. It is in force at once; connections it forbids are cut.',
  examples: [
    'sylph policy set policy.json',
    'sylph policy set --defaults',
    'sylph policy get --json | jq \'.rules += [{"domain":"*.example.com","action":"allow"}]\' | sylph policy set -',
  ],
  arguments: [{ name: '[file]', description: '"-" or nothing: stdin' }],
  common: ['org', 'sprite'],
  options: {
    orgWide,
    defaults: { kind: 'flag', description: 'allow hosts of common developer tools; alone, nothing else' },
  },
  async run(context, [file], options) {
    const read = options.defaults && file === undefined ? [] : await rulesFrom(file);
    const rules: NetworkRule[] = options.defaults ? [{ include: 'defaults' }, ...read] : read;
    const meant = await subject(context, options.orgWide);
    await meant.set({ rules });
    await tellRules(context, meant.title, rules);
  },
});

const allow = command({
  name: 'allow',
  summary: 'allow names and networks, beside what is allowed already',
  description:
    'With rules, only what they allow can be reached. Of rules about names the most exact decides; *.NAME is what lies below NAME, not NAME itself. What was said about the same target before is replaced.',
  examples: ['sylph policy allow example.com *.foo.dev 198.41.0.0/24:443', 'sylph policy allow --defaults'],
  arguments: [{ ...targets, name: '[target…]' }],
  common: ['org', 'sprite'],
  options: { orgWide, defaults: { kind: 'flag', description: 'allow hosts of common developer tools' } },
  async run(context, args, options) {
    const added = args.map((text) => targetRule(text, 'allow'));
    return add(context, options.orgWide, options.defaults ? [{ include: 'defaults' }, ...added] : added);
  },
});

const deny = command({
  name: 'deny',
  summary: 'deny names and networks',
  description:
    'Names are answered REFUSED when they are looked up. A first rule that denies leaves every other name allowed.',
  examples: ['sylph policy deny ads.example.com', 'sylph policy deny 198.41.0.0/24:25'],
  arguments: [targets],
  common: ['org', 'sprite'],
  options: { orgWide },
  run: (context, args, options) =>
    add(
      context,
      options.orgWide,
      args.map((text) => targetRule(text, 'deny')),
    ),
});

const remove = command({
  name: 'remove',
  aliases: ['rm'],
  summary: 'take rules about names and networks back',
  arguments: [{ ...targets, name: '[target…]' }],
  common: ['org', 'sprite'],
  options: { orgWide, defaults: { kind: 'flag', description: 'the rule that includes the defaults' } },
  async run(context, args, options) {
    const meant = await subject(context, options.orgWide);
    const before = await meant.get();
    const left = withoutTargets(
      before,
      args.map((text) => targetRule(text, 'allow')),
    ).filter((rule) => !(options.defaults && 'include' in rule));
    if (left.length === before.rules.length)
      throw new CliError(`${meant.title} has no rule about that`, { code: 'no_rule', hint: 'sylph policy get' });
    if (left.length === 0)
      throw new CliError('without its last rule everything could be reached', {
        code: 'last_rule',
        hint: 'say so with: sylph policy reset',
      });
    await meant.set({ rules: left });
    await tellRules(context, meant.title, left);
  },
});

const reset = command({
  name: 'reset',
  summary: "take the policy back: the organization's holds again, of the organization none",
  common: ['org', 'sprite'],
  options: { orgWide },
  async run(context, _args, options) {
    const meant = await subject(context, options.orgWide);
    await meant.reset();
    const policy = await meant.get();
    await context.out.result(policy, () => shownPolicy(meant.title, policy));
  },
});

const defaults = command({
  name: 'defaults',
  summary: 'list the names that --defaults allows',
  common: ['org'],
  async run(context) {
    const domains = await (await context.client()).policies.defaults();
    await context.out.result(domains, () => domains.map((domain) => `${domain}\n`).join(''));
  },
});

/** `sylph policy`. */
export const policy = command({
  name: 'policy',
  aliases: ['policies'],
  summary: 'say what sprites may reach, and see what they were denied',
  subcommands: [get, set, allow, deny, remove, reset, defaults, log],
});

async function add(context: Context, forOrg: boolean, added: readonly NetworkRule[]): Promise<void> {
  if (added.length === 0) throw usageError('there is nothing to allow', 'sylph policy allow example.com');
  const meant = await subject(context, forOrg);
  const before = await meant.get();
  const { rules, remark } = withRules(before, added);
  await meant.set({ rules });
  if (before.source === 'organization')
    context.out.note(`sylph: ${meant.title} has a policy of its own now, which began as its organization's`);
  if (remark !== undefined) context.out.note(`sylph: ${remark}`);
  await tellRules(context, meant.title, rules);
}

async function tellRules(context: Context, title: string, rules: readonly NetworkRule[]): Promise<void> {
  await context.out.result({ rules }, () => shownPolicy(title, { rules: [...rules] }));
}
