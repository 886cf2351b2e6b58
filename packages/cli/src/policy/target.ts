import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { NetworkRule } from '@sylph/model';
import { usageError } from '../failure.ts';

/** A rule about a name or a network. */
export type TargetRule = Exclude<NetworkRule, { include: unknown }>;

const examples = 'for example: example.com  *.example.com:443  198.41.0.0/24:80,443  [2606:4700::]/32:443';

/**
 * A rule from how it is written on the command line: a name, `*.` and a suffix, `*`, an address or a network, each with `:PORT,…` where only these are meant. An IPv6 address with ports stands in brackets. Throws a usage error on
 * anything else.
 */
export function targetRule(text: string, action: 'allow' | 'deny'): TargetRule {
  const [, bracketed, prefix, rest] = /^\[([^\]]*)\](\/\d+)?(?::([\d,]+))?$/.exec(text) ?? [];
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) throw usageError(`${text} is no IPv6 address`, examples);
    return withPorts({ cidr: bracketed + (prefix ?? ''), action }, rest, text);
  }
  if (isNetwork(text)) return { cidr: text, action };
  const [, target = text, ports] = /^([^:]*):([\d,]+)$/.exec(text) ?? [];
  if (isNetwork(target)) return withPorts({ cidr: target, action }, ports, text);
  const domain = target.startsWith('*.') ? `*.${ascii(target.slice(2))}` : ascii(target);
  if (!/^(\*|(\*\.)?[a-z0-9_.-]+)$/i.test(domain))
    throw usageError(`${text} is neither a name nor a network`, examples);
  return withPorts({ domain, action }, ports, text);
}

/** How the target of a rule is written. */
export function targetText(rule: NetworkRule): string {
  if ('include' in rule) return 'the defaults';
  return 'domain' in rule ? rule.domain : rule.cidr;
}

/** Whether two rules are about the same. */
export function sameTarget(a: NetworkRule, b: NetworkRule): boolean {
  return keyOf(a) === keyOf(b);
}

function keyOf(rule: NetworkRule): string {
  if ('include' in rule) return 'include';
  return 'domain' in rule ? `domain ${rule.domain.toLowerCase().replace(/\.$/, '')}` : `cidr ${rule.cidr}`;
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  return (
    family !== 0 &&
    more.length === 0 &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)))
  );
}

/** Names in other scripts, as DNS has them. */
function ascii(name: string): string {
  return /^[\x00-\x7f]*$/.test(name) ? name : domainToASCII(name);
}

function withPorts<Rule extends TargetRule>(rule: Rule, ports: string | undefined, text: string): Rule {
  if (ports === undefined) return rule;
  const numbers = ports.split(',').map(Number);
  if (numbers.some((port) => port < 1 || port > 65_535)) throw usageError(`${text} has a port that is none`, examples);
  return { ...rule, ports: numbers };
}
