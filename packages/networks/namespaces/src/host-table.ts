import { specialNetworks } from '@sylph/model';
import { forwarderPort, type Instance } from './plan.ts';
import type { SlotRules } from './slot-table.ts';

/** What the kernel forwarded before us; kept in the table's comment, for the daemon that puts it back may be another. */
export interface ForwardingBefore {
  /** `net.ipv4.conf.all.accept_redirects` as it was, which switching forwarding on changes; undefined: we did not switch it on. */
  redirects4: string | undefined;
  /** Whether we switched on IPv6 forwarding. */
  switched6: boolean;
}

/** Text of the table's comment. */
export function forwardingComment({ redirects4, switched6 }: ForwardingBefore): string {
  return `forwarding before: ipv4 ${redirects4 === undefined ? 'as now' : `off, accept_redirects ${redirects4}`}; ipv6 ${switched6 ? 'off' : 'as now'}`;
}

/** Reads {@link forwardingComment} back. */
export function parseForwardingComment(text: string): ForwardingBefore | undefined {
  const match = /^forwarding before: ipv4 (?:as now|off, accept_redirects ([01])); ipv6 (as now|off)$/.exec(text);
  return match ? { redirects4: match[1], switched6: match[2] === 'off' } : undefined;
}

/**
 * Rules of the host, in a table of their own and of constant size: they know slots by the name of their links. Slots reach the forwarder, nothing else of this host, no other slot of any daemon, no special range.
 * Questions to the forwarder are not tracked: a guest asks faster than the host's connection table, which is everybody's, forgets.
 * Where forwarding was off, nothing is forwarded but for slots. Replaced in one transaction.
 */
export function hostTable(instance: Instance, rules: SlotRules, before: ForwardingBefore): string {
  const { name } = instance;
  const slots = `iifname "${name}-*"`;
  const notOurs = (family: 'ipv4' | 'ipv6'): string =>
    `    meta nfproto ${family} iifname != "sylph*" oifname != "sylph*" drop`;
  return `table inet ${name}
delete table inet ${name}
table inet ${name} {
  comment "${forwardingComment(before)}"
  set special4 { type ipv4_addr; flags interval; elements = { ${specialNetworks.ipv4.join(', ')} } }
  set special6 { type ipv6_addr; flags interval; elements = { ${specialNetworks.ipv6.join(', ')} } }
  set exempt4 { type ipv4_addr; flags interval; auto-merge; ${elementsOf(rules.exempt.ipv4)}}
  set exempt6 { type ipv6_addr; flags interval; auto-merge; ${elementsOf(rules.exempt.ipv6)}}
  chain questions {
    type filter hook prerouting priority raw; policy accept;
    ${slots} ip daddr ${instance.forwarder4} meta l4proto { tcp, udp } th dport ${forwarderPort} notrack
    ${slots} ip6 daddr ${instance.forwarder6} meta l4proto { tcp, udp } th dport ${forwarderPort} notrack
  }
  chain answers {
    type filter hook output priority raw; policy accept;
    oifname "${name}-*" ip saddr ${instance.forwarder4} meta l4proto { tcp, udp } th sport ${forwarderPort} notrack
    oifname "${name}-*" ip6 saddr ${instance.forwarder6} meta l4proto { tcp, udp } th sport ${forwarderPort} notrack
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    ${slots} goto from_slots
  }
  chain from_slots {
    fib saddr . iif oif missing drop
    ip daddr ${instance.forwarder4} meta l4proto { tcp, udp } th dport ${forwarderPort} accept
    ip6 daddr ${instance.forwarder6} meta l4proto { tcp, udp } th dport ${forwarderPort} accept
    goto refuse
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    ${slots} goto through
    oifname "${name}-*" ct state established,related accept
    oifname "${name}-*" drop
    oifname "${name}" drop
${before.redirects4 === undefined ? '' : notOurs('ipv4')}
${before.switched6 ? notOurs('ipv6') : ''}
  }
  chain through {
    fib saddr . iif oif missing drop
    oifname "sylph*" goto refuse
    ip daddr @special4 ip daddr != @exempt4 goto refuse
    ip6 daddr @special6 ip6 daddr != @exempt6 goto refuse
    ct state invalid drop
    accept
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    limit rate 200/second burst 400 packets reject with icmpx type admin-prohibited
    drop
  }
  chain outside {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${instance.block4} oifname != "sylph*" masquerade
    ip6 saddr ${instance.block6} oifname != "sylph*" masquerade
  }
}
`;
}

function elementsOf(networks: readonly string[]): string {
  return networks.length === 0 ? '' : `elements = { ${networks.join(', ')} } `;
}
