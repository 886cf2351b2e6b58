import { SylphError } from '@sylph/model';
import { forward, forwardingBefore, ipv6Outlook, stopForwarding, sylphTables, type Ipv6 } from './forwarding.ts';
import { hostTable, type ForwardingBefore } from './host-table.ts';
import { claimInstance, releaseInstance } from './instance.ts';
import type { Instance } from './plan.ts';
import { foreignRoutes } from './requirements.ts';
import type { Exemptions, SlotRules } from './slot-table.ts';
import { nft } from './tools.ts';

/** The host's side of an instance. */
export interface Host {
  readonly instance: Instance;
  readonly rules: SlotRules;
  readonly ipv6: Ipv6;
  readonly before: ForwardingBefore;
}

/** Claims an instance and puts up what all its slots share. Throws `host_unfit` when something of the host is in the way. */
export async function openHost(options: { range: string; dataDir: string; exempt: Exemptions }): Promise<Host> {
  const instance = await claimInstance(options.range, options.dataDir);
  const [route] = await foreignRoutes(instance);
  if (route !== undefined) {
    await releaseInstance(instance);
    throw new SylphError('host_unfit', `network-range: this host already uses ${route}`, {
      hint: 'Give network-range a private network that nothing of this host uses.',
    });
  }
  const ipv6 = await ipv6Outlook();
  const before = await forwardingBefore(ipv6);
  const rules = { exempt: options.exempt, ipv6: ipv6.usable };
  // The table first: it holds back what was not forwarded before.
  await nft(hostTable(instance, rules, before));
  await forward(before);
  return { instance, rules, ipv6, before };
}

/** Takes it all down; what forwarding was before the first daemon comes back with the last. */
export async function closeHost({ instance, before }: Host): Promise<void> {
  const others = (await sylphTables()).filter((table) => table !== instance.name);
  if (others.length === 0) await stopForwarding(before);
  await nft(`table inet ${instance.name}\ndelete table inet ${instance.name}\n`);
  await releaseInstance(instance);
}
