import type { NetworkPolicy, NetworkRule } from '@sylph/model';
import { networkFrom, networkText } from './cidr.ts';
import { canonicalName, parentsOf } from './names.ts';

type Action = 'allow' | 'deny';

/** What a policy says about a name, and how exactly it says it: the name itself, a `*.suffix`, `*`, or no rule at all. */
export type NameDecision =
  | { action: 'allow'; ports?: readonly number[]; matched: NameMatch }
  | { action: 'deny'; matched: NameMatch };
type NameMatch = 'name' | 'suffix' | 'any' | 'none';

/** What a policy says about a network. */
export interface NetworkEntry {
  /** Masked, with its prefix length: `1.2.3.0/24`, `2606:4700::/32`. */
  cidr: string;
  family: 4 | 6;
  action: Action;
  /** TCP and UDP ports, ascending; absent: all, and every protocol. */
  ports?: readonly number[];
}

/** A policy in the form it is enforced in. Never changes. */
export interface CompiledPolicy {
  /** False: everything but special ranges is allowed. */
  readonly restricted: boolean;
  /**
   * Exact before the longest `*.suffix` before `*`; `deny` wins where both are equal; ports of equal `allow` rules add up. `*.suffix` is about what lies under the suffix, at any depth, not about the suffix itself.
   * A name that matches no rule is denied where there are rules. `ports` are those its addresses may be spoken to at; absent: all.
   */
  decide(name: string): NameDecision;
  /**
   * The first that covers address and port decides: smallest network first, `deny` before `allow` where equal. It decides before addresses that a name led to; what none covers is allowed by name, or not at all.
   */
  readonly networks: readonly NetworkEntry[];
}

/** `defaults` are the names `{"include":"defaults"}` stands for, each as a rule's domain. Takes whatever the schema lets through; what does not fit is {@link policyFaults}'s to say. */
export function compilePolicy(policy: NetworkPolicy, defaults: readonly string[]): CompiledPolicy {
  const names = new Map<string, Verdict>();
  const suffixes = new Map<string, Verdict>();
  let any: Verdict | undefined;
  for (const { domain, ...rule } of domainRules(policy.rules, defaults)) {
    if (domain === '*') {
      any = added(any, rule);
      continue;
    }
    const table = domain.startsWith('*.') ? suffixes : names;
    const name = canonicalName(domain.replace(/^\*\./, ''));
    // Said as no lookup can be: nothing ever matches it.
    if (name !== undefined) table.set(name, added(table.get(name), rule));
  }
  const restricted = policy.rules.length > 0;
  const decide = (text: string): NameDecision => {
    if (!restricted) return { action: 'allow', matched: 'none' };
    const name = canonicalName(text);
    if (name === undefined) return { action: 'deny', matched: 'none' };
    const exact = names.get(name);
    if (exact) return decisionOf(exact, 'name');
    for (const parent of parentsOf(name)) {
      const suffix = suffixes.get(parent);
      if (suffix) return decisionOf(suffix, 'suffix');
    }
    return any ? decisionOf(any, 'any') : { action: 'deny', matched: 'none' };
  };
  return { restricted, decide, networks: networksOf(policy.rules) };
}

/** What equal rules say together. */
interface Verdict {
  denied: boolean;
  /** Undefined: all. */
  ports: ReadonlySet<number> | undefined;
}

interface Judgement {
  action: Action;
  ports?: number[] | undefined;
}

function* domainRules(
  rules: readonly NetworkRule[],
  defaults: readonly string[],
): Generator<Judgement & { domain: string }, void, undefined> {
  for (const rule of rules) {
    if ('domain' in rule) yield rule;
    else if ('include' in rule) for (const domain of defaults) yield { domain, action: 'allow' };
  }
}

function added(before: Verdict | undefined, { action, ports }: Judgement): Verdict {
  const denied = action === 'deny' || before?.denied === true;
  if (denied) return { denied, ports: undefined };
  if (ports === undefined || (before && before.ports === undefined)) return { denied, ports: undefined };
  return { denied, ports: new Set([...(before?.ports ?? []), ...ports]) };
}

function decisionOf({ denied, ports }: Verdict, matched: NameMatch): NameDecision {
  if (denied) return { action: 'deny', matched };
  return ports === undefined ? { action: 'allow', matched } : { action: 'allow', ports: ascending(ports), matched };
}

function networksOf(rules: readonly NetworkRule[]): NetworkEntry[] {
  return rules
    .flatMap((rule) => {
      const network = 'cidr' in rule ? networkFrom(rule.cidr) : undefined;
      return network && 'action' in rule ? [{ network, action: rule.action, ports: rule.ports }] : [];
    })
    .toSorted((a, b) => b.network.bits - a.network.bits || rank(a.action) - rank(b.action))
    .map(({ network, action, ports }) => ({
      cidr: networkText(network),
      family: network.family,
      action,
      ...(ports === undefined ? {} : { ports: ascending(ports) }),
    }));
}

function rank(action: Action): number {
  return action === 'deny' ? 0 : 1;
}

function ascending(ports: Iterable<number>): number[] {
  return [...new Set(ports)].toSorted((a, b) => a - b);
}
