import type { NetworkDenial, NetworkPolicy, NetworkRule } from '@sylph/model';
import { ago } from '../output/human.ts';
import { table, type Cell } from '../output/table.ts';
import { targetText } from './target.ts';

/** A policy as a table, under a sentence on what it means. */
export async function shownPolicy(
  title: string,
  { rules, source }: NetworkPolicy & { source?: string },
): Promise<string> {
  const whose = source === 'organization' ? " by its organization's policy" : '';
  if (rules.length === 0) return `${title} may reach the internet: there are no rules\n`;
  return (
    `${title} may reach what these rules allow${whose}, and nothing else\n` +
    (await table(
      [{ title: 'ACTION' }, { title: 'TARGET' }, { title: 'PORTS' }],
      rules.map((rule) => [
        actionCell(rule),
        targetText(rule),
        'include' in rule ? '' : (rule.ports?.join(',') ?? 'all'),
      ]),
    ))
  );
}

function actionCell(rule: NetworkRule): Cell {
  return 'include' in rule || rule.action === 'allow'
    ? { text: 'allow', style: 'good' }
    : { text: 'deny', style: 'bad' };
}

/** What was denied, as a table. */
export function shownDenials(denials: readonly NetworkDenial[]): Promise<string> {
  return table(
    [
      { title: 'LAST' },
      { title: 'COUNT', align: 'right' },
      { title: 'TARGET' },
      { title: 'NAME' },
      { title: 'REASON' },
    ],
    denials.map((denial) => [
      ago(denial.last_at),
      String(denial.count),
      spoken(denial),
      denial.name ?? '',
      denial.reason,
    ]),
  );
}

/** What was denied, in one line. */
export function denialLine(denial: NetworkDenial): string {
  const { last_at: at, count, name, reason } = denial;
  return `${at}  ${reason}  ${spoken(denial)}${name === null ? '' : ` (${name})`}  ${count}×`;
}

/** `example.com`, `198.41.0.4:25/tcp`, `[2606:4700::1]:53/udp`. */
function spoken({ target, port, protocol }: NetworkDenial): string {
  const address = target.includes(':') ? `[${target}]` : target;
  return `${port === null ? target : `${address}:${port}`}${protocol === null ? '' : `/${protocol}`}`;
}

/** What is counted together. */
export function denialKey({ kind, target, port, protocol, reason }: NetworkDenial): string {
  return [kind, target, port, protocol, reason].join(' ');
}
