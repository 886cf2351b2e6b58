import type { NetworkPolicy, NetworkRule } from '@sylph/model';
import { sameTarget, type TargetRule } from './target.ts';

/** A policy with rules in place of those that said something else about the same. `remark` says what the first rules change beyond what they are about. */
export function withRules(
  { rules }: NetworkPolicy,
  added: readonly NetworkRule[],
): { rules: NetworkRule[]; remark: string | undefined } {
  const onlyDenies = added.length > 0 && added.every((rule) => 'action' in rule && rule.action === 'deny');
  // With rules, what none is about is denied: whoever denies the first name means to keep the others.
  const before: readonly NetworkRule[] = rules.length === 0 && onlyDenies ? [{ domain: '*', action: 'allow' }] : rules;
  const kept = before.filter((rule) => !added.some((each) => sameTarget(each, rule)));
  const first = rules.length === 0 && added.length > 0;
  return { rules: [...kept, ...added], remark: first ? remarkOn(onlyDenies) : undefined };
}

/** A policy without the rules about these. */
export function withoutTargets({ rules }: NetworkPolicy, targets: readonly TargetRule[]): NetworkRule[] {
  return rules.filter((rule) => !targets.some((each) => sameTarget(each, rule)));
}

function remarkOn(onlyDenies: boolean): string {
  return onlyDenies
    ? 'these are the first rules: every other name stays allowed by a rule for *, addresses that no name led to do not'
    : 'these are the first rules: from now on nothing else can be reached';
}
