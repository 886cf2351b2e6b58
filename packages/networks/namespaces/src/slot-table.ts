import { specialNetworks } from '@sylph/model';
import type { CompiledPolicy, NetworkEntry } from '@sylph/network-dns';
import { formerResolver, gateway, guest, tapDevice, uplinkDevice } from './guest-side.ts';
import { forwarderPort, type Instance, type Slot } from './plan.ts';

/** Name of the tables in each slot. */
export const slotTable = 'sylph';

/** Connections of a slot at the same time: the host's connection table is everybody's. */
const maxConnections = 4_096;
/** Beyond which new connections are dropped, and questions of DNS. */
const newConnections = 'limit rate over 500/second burst 1000 packets';
const newQuestions = 'limit rate over 300/second burst 600 packets';
/** Denied targets kept until they are asked for, in each set. */
const maxDenied = 512;
/** How long one that is not asked for is kept, seconds. */
export const deniedTimeoutS = 3_600;
/** Addresses that names led to, or ports of them. Sets hold twice as many, so that old and new fit for the moment in which one takes the other's place. */
export const maxAdmitted = 4_096;
const maxElements = 2 * maxAdmitted;

/** Networks an operator has opened though they are special, by IP version. */
export interface Exemptions {
  ipv4: readonly string[];
  ipv6: readonly string[];
}

/** What depends on the host: the same for all slots of a daemon. */
export interface SlotRules {
  exempt: Exemptions;
  /** Whether the host can pass IPv6 on. */
  ipv6: boolean;
}

/** An address a name led to, with the time it has left, and the ports it is allowed at; absent: all. */
export interface Admission {
  /** The name, which the slot keeps for a later daemon. */
  name: string;
  address: string;
  ports?: readonly number[] | undefined;
  timeoutS: number;
}

/** The part of a slot's rules that changes while it lives. */
export interface SlotPolicy {
  /** Counts up with every change: connections carry it as their mark, so those of an older one are judged again. */
  generation: number;
  /** Names everything the rules come from, for a later daemon to see whether they still hold. Letters, digits and `-`. */
  digest: string;
  rules: SlotRules;
  policy: CompiledPolicy | undefined;
  admitted: readonly Admission[];
  /** Addresses whose names are allowed still, though their answers have run out: connections to them go on, but none begins. */
  grace: readonly Admission[];
}

/** Generation of the rules a slot is made with: no policy. */
export const firstGeneration = 1;

/**
 * All rules of a new slot. `netdev sylph` lets the guest send only from its own addresses; `inet sylph` decides where to. What a guest may not reach is rejected, so that its programs fail at once.
 */
export function slotTables(instance: Instance, slot: Slot, rules: SlotRules): string {
  return `table netdev ${slotTable} {
  chain ingress {
    type filter hook ingress device "${tapDevice}" priority -500; policy drop;
    ether saddr != ${guest.mac} drop
    ether daddr ${formerResolver.mac} meta pkttype set host
    ether type arp arp saddr ip ${guest.address4} accept
    ether type ip ip saddr ${guest.address4} accept
    ether type ip6 ip6 saddr ${guest.address6} accept
    ether type ip6 ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
table inet ${slotTable} {
  set special4 { type ipv4_addr; flags interval; elements = { ${specialNetworks.ipv4.join(', ')} } }
  set special6 { type ipv6_addr; flags interval; elements = { ${specialNetworks.ipv6.join(', ')} } }
  set exempt4 { type ipv4_addr; flags interval; auto-merge; }
  set exempt6 { type ipv6_addr; flags interval; auto-merge; }
${families(
  (
    family,
    type,
  ) => `  set denied${family} { type ${type} . inet_proto . inet_service; flags dynamic,timeout; timeout ${deniedTimeoutS}s; size ${maxDenied}; counter; }
  set denied_other${family} { type ${type} . inet_proto; flags dynamic,timeout; timeout ${deniedTimeoutS}s; size ${maxDenied}; counter; }
  set allowed${family} { type ${type}; flags timeout; size ${maxElements}; }
  set allowed_ports${family} { type ${type} . inet_service; flags timeout; size ${maxElements}; }
  set grace${family} { type ${type}; size ${maxElements}; }
  set grace_ports${family} { type ${type} . inet_service; size ${maxElements}; }`,
)}
  chain questions {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${tapDevice}" ip daddr { ${gateway.address4}, ${formerResolver.address4} } meta l4proto { tcp, udp } th dport 53 dnat ip to ${instance.forwarder4}:${forwarderPort}
    iifname "${tapDevice}" ip6 daddr ${gateway.address6} meta l4proto { tcp, udp } th dport 53 dnat ip6 to [${instance.forwarder6}]:${forwarderPort}
  }
  chain outside {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${uplinkDevice}" meta nfproto ipv4 snat ip to ${slot.address4}
    oifname "${uplinkDevice}" meta nfproto ipv6 snat ip6 to ${slot.address6}
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "${tapDevice}" icmp type echo-request limit rate 100/second burst 200 packets accept
    iifname "${tapDevice}" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${tapDevice}" icmpv6 type echo-request limit rate 100/second burst 200 packets accept
    iifname "${tapDevice}" goto denied
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    jump known
    iifname "${tapDevice}" oifname "${uplinkDevice}" goto from_guest
    iifname "${uplinkDevice}" oifname "${tapDevice}" goto to_guest
  }
  chain from_guest {
    ct state invalid goto refuse
    ct state new ct status dnat ${newQuestions} drop
    ct status dnat accept
    meta l4proto { tcp, udp } th dport { 53, 853 } goto denied
    meta l4proto != { tcp, udp, icmp, ipv6-icmp } goto denied
    ct state new ${newConnections} drop
    ct state new ct count over ${maxConnections} goto refuse
    goto judge
  }
  chain to_guest {
    ct state != { established, related } drop
    ct status dnat accept
    goto judge
  }
  chain judge {
    meta nfproto ipv4 ct original ip daddr @special4 ct original ip daddr != @exempt4 goto denied
    meta nfproto ipv6 ct original ip6 daddr @special6 ct original ip6 daddr != @exempt6 goto denied
    goto allowing
  }
  chain known { }
  chain allowing { }
  chain denied {
    iifname "${tapDevice}" meta l4proto { tcp, udp } update @denied4 { ip daddr . meta l4proto . th dport }
    iifname "${tapDevice}" meta l4proto { tcp, udp } update @denied6 { ip6 daddr . meta l4proto . th dport }
    iifname "${tapDevice}" meta l4proto != { tcp, udp } update @denied_other4 { ip daddr . meta l4proto }
    iifname "${tapDevice}" meta l4proto != { tcp, udp } update @denied_other6 { ip6 daddr . meta l4proto }
    goto refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    iifname "${tapDevice}" limit rate 200/second burst 400 packets reject with icmpx type admin-prohibited
    drop
  }
}
${slotPolicyRules({ generation: firstGeneration, digest: '', rules, policy: undefined, admitted: [], grace: [] })}`;
}

/** Replaces the changing part, in one transaction. */
export function slotPolicyRules({ generation, digest, rules, policy, admitted, grace }: SlotPolicy): string {
  const table = `inet ${slotTable}`;
  const permit = `ct mark set ${generation} accept`;
  const verdicts = policy?.restricted === true ? restrictionLines(policy.networks, permit) : [permit];
  const exempt = [rules.exempt.ipv4, rules.exempt.ipv6];
  return [
    `flush chain ${table} known`,
    `add rule ${table} known ct state established,related ct mark ${generation} accept comment "${marking({ generation, digest })}"`,
    `flush chain ${table} allowing`,
    ...[4, 6].flatMap((family) =>
      ['allowed', 'allowed_ports', 'grace', 'grace_ports', 'exempt'].map((set) => `flush set ${table} ${set}${family}`),
    ),
    ...exempt.flatMap((networks, index) =>
      networks.length === 0 ? [] : [`add element ${table} exempt${index === 0 ? 4 : 6} { ${networks.join(', ')} }`],
    ),
    ...(rules.ipv6 ? [] : [`add rule ${table} allowing meta nfproto ipv6 reject with icmpv6 type no-route`]),
    ...verdicts.map((rule) => `add rule ${table} allowing ${rule}`),
    ...elementLines('allowed', admitted, true),
    ...elementLines('grace', grace, false),
    '',
  ].join('\n');
}

/** What the slot's rules are, as a comment among them. */
export function marking({ generation, digest }: Pick<SlotPolicy, 'generation' | 'digest'>): string {
  return `generation ${generation} of ${digest}`;
}

/** Reads {@link marking} back. */
export function parseMarking(text: string): Pick<SlotPolicy, 'generation' | 'digest'> | undefined {
  const match = /^generation (\d{1,10}) of ([A-Za-z0-9-]*)$/.exec(text);
  return match ? { generation: Number(match[1]), digest: match[2] ?? '' } : undefined;
}

/** Makes addresses reachable, and forgotten ones unreachable; those that are reachable already get this as their time. */
export function admissionRules(admitted: readonly Admission[], forgotten: readonly Admission[]): string {
  // An element that exists keeps its time when it is added, and one that does not cannot be deleted: so each is added, deleted, and added anew, in one transaction.
  const bare = elementLines('allowed', [...admitted, ...forgotten], false);
  const gone = bare.map((line) => line.replace(/^add/, 'delete'));
  return [...bare, ...gone, ...elementLines('allowed', admitted, true), ''].join('\n');
}

/** In either direction a connection is judged by where it was going when it began. */
function restrictionLines(networks: readonly NetworkEntry[], permit: string): string[] {
  const verdict = { allow: permit, deny: 'goto denied' };
  return [
    ...networks.map(
      ({ family, cidr, action, ports }) =>
        `meta nfproto ipv${family} ct original ${protocolOf(family)} daddr ${cidr} ${
          ports === undefined ? '' : `meta l4proto { tcp, udp } ct original proto-dst { ${ports.join(', ')} } `
        }${verdict[action]}`,
    ),
    ...[4, 6].flatMap((family) => {
      const target = `ct original ${protocolOf(family as 4 | 6)} daddr`;
      const port = `meta nfproto ipv${family} meta l4proto { tcp, udp } ${target} . ct original proto-dst`;
      return [
        `meta nfproto ipv${family} ${target} @allowed${family} ${permit}`,
        `${port} @allowed_ports${family} ${permit}`,
        `ct state established,related meta nfproto ipv${family} ${target} @grace${family} ${permit}`,
        `ct state established,related ${port} @grace_ports${family} ${permit}`,
      ];
    }),
    'goto denied',
  ];
}

/** Longest comment of an element, bytes. Of a name that is longer a later daemon does not know what led to it. */
const maxCommentBytes = 127;

function elementLines(set: 'allowed' | 'grace', admissions: readonly Admission[], timed: boolean): string[] {
  const sets = new Map<string, Map<string, { timeoutS: number; name: string }>>();
  for (const { address, ports, timeoutS, name } of admissions) {
    const setName = `${set}${ports === undefined ? '' : '_ports'}${address.includes(':') ? 6 : 4}`;
    const elements = sets.get(setName) ?? new Map<string, { timeoutS: number; name: string }>();
    sets.set(setName, elements);
    for (const element of ports?.map((port) => `${address} . ${port}`) ?? [address])
      elements.set(element, { timeoutS: Math.max(elements.get(element)?.timeoutS ?? 0, timeoutS), name });
  }
  return [...sets].map(([setName, elements]) => {
    const list = [...elements].map(([element, { timeoutS, name }]) =>
      [element, timed ? ` timeout ${timeoutS}s` : '', isComment(name) ? ` comment "${name}"` : ''].join(''),
    );
    return `add element inet ${slotTable} ${setName} { ${list.join(', ')} }`;
  });
}

/** Whether a name, which a guest chose, can stand between quotes. */
function isComment(name: string): boolean {
  return name.length <= maxCommentBytes && /^[a-z0-9._-]+$/.test(name);
}

function families(text: (family: 4 | 6, type: string) => string): string {
  return [text(4, 'ipv4_addr'), text(6, 'ipv6_addr')].join('\n');
}

function protocolOf(family: 4 | 6): string {
  return family === 4 ? 'ip' : 'ip6';
}
