import { isIP } from 'node:net';
import type { NetworkPolicy, NetworkRule } from '@sylph/model';
import { networkFrom } from './cidr.ts';
import { canonicalName } from './names.ts';
import { isLocalName } from './local-names.ts';
import { SpecialRanges } from './special-ranges.ts';

/** A rule that could never hold. */
export interface PolicyFault {
  /** Its place in the policy, from 0. */
  index: number;
  /** One sentence: what is wrong and what to do. */
  message: string;
}

/** Rules that could never hold, so that nobody relies on them. `allowedSpecial` are the special networks an operator has opened (`network-allow`). Rules that say the same twice are none. */
export function policyFaults(
  policy: NetworkPolicy,
  { allowedSpecial }: { allowedSpecial: readonly string[] },
): PolicyFault[] {
  const special = new SpecialRanges(allowedSpecial);
  return policy.rules.flatMap((rule, index) => {
    const message = faultOf(rule, special);
    return message === undefined ? [] : [{ index, message }];
  });
}

function faultOf(rule: NetworkRule, special: SpecialRanges): string | undefined {
  if ('include' in rule) return undefined;
  if ('cidr' in rule) {
    if (networkFrom(rule.cidr) === undefined) return `${rule.cidr} is no network`;
    if (rule.action === 'allow' && special.blocks(rule.cidr))
      return `${rule.cidr} lies in a private or special range, which no sprite may reach; an operator can open it with the setting network-allow`;
    return undefined;
  }
  const { domain } = rule;
  const name = canonicalName(domain.replace(/^\*\./, ''));
  if (isIP(domain.replace(/\.$/, '')) !== 0)
    return `${domain} is an address: write {"cidr":"${domain}"} instead of a domain`;
  if (domain !== '*' && name === undefined) return `${domain} is no host name`;
  if (rule.action === 'deny' && rule.ports !== undefined)
    return `a name is denied as a whole, so leave out the ports of ${domain}, or allow it with the ports that remain`;
  if (
    domain !== '*' &&
    rule.action === 'allow' &&
    isLocalName(name as string, domain.startsWith('*.')) &&
    !special.hasExceptions
  )
    return `${domain} is a name of local networks, which are not looked up for sprites`;
  return undefined;
}
