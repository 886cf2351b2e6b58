import fs from 'node:fs/promises';
import { formerResolver, gateway, guest, tapDevice, uplinkDevice } from './guest-side.ts';
import type { Instance, Slot } from './plan.ts';
import { slotTables, type SlotRules } from './slot-table.ts';
import { ipBatch, namespaceFile, runTool } from './tools.ts';

/**
 * Of the slot's own network stack. What tells a guest that something is out of reach is limited by the slot's table; the kernel's own limit, one a second, would have its programs wait for nothing. Without loose pick-up a connection that this slot never saw begin is none: it is reset at once instead of hanging.
 */
const slotSettings = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
  'net/ipv4/icmp_ratelimit': 0,
  'net/ipv6/icmp/ratelimit': 0,
  'net/netfilter/nf_conntrack_tcp_loose': 0,
  'net/netfilter/nf_conntrack_tcp_be_liberal': 1,
};

/** Makes a slot with its whole table. What is left of a failed attempt is removed. */
export async function makeSlot(instance: Instance, slot: Slot, rules: SlotRules): Promise<void> {
  const { name } = slot;
  try {
    await ipBatch([
      `netns add ${name}`,
      `link add ${name} address ${slot.hostMac} type veth peer name ${uplinkDevice} netns ${name} address ${slot.uplinkMac}`,
      `link set dev ${name} addrgenmode none`,
      `link set ${name} up`,
      `route add ${slot.address4}/32 dev ${name} src ${instance.forwarder4}`,
      `route add ${slot.address6}/128 dev ${name}`,
      `neigh add ${slot.address4} lladdr ${slot.uplinkMac} dev ${name} nud permanent`,
      `neigh add ${slot.address6} lladdr ${slot.uplinkMac} dev ${name} nud permanent`,
    ]);
    await ipBatch(
      [
        'link set lo up',
        ...tapLines,
        `link set dev ${uplinkDevice} addrgenmode none`,
        `addr add ${slot.address4}/32 dev ${uplinkDevice}`,
        `addr add ${slot.address6}/128 dev ${uplinkDevice} nodad`,
        `link set ${uplinkDevice} up`,
        `neigh add ${instance.forwarder4} lladdr ${slot.hostMac} dev ${uplinkDevice} nud permanent`,
        `neigh add ${instance.forwarder6} lladdr ${slot.hostMac} dev ${uplinkDevice} nud permanent`,
        `route add default via ${instance.forwarder4} dev ${uplinkDevice} onlink`,
        `route add default via ${instance.forwarder6} dev ${uplinkDevice} onlink`,
      ],
      name,
    );
    await runTool(
      'nsenter',
      [`--net=${namespaceFile(name)}`, 'sh', '-c', `set -e; ${settingCommands}; exec nft -f -`],
      slotTables(instance, slot, rules),
    );
  } catch (error) {
    await removeSlot(name);
    throw error;
  }
}

/** The guest's side: its gateway's addresses, and the guest itself, known beforehand so that nothing it claims about addresses is listened to. */
const tapLines = [
  `tuntap add name ${tapDevice} mode tap`,
  `link set ${tapDevice} address ${gateway.mac}`,
  `link set dev ${tapDevice} addrgenmode none`,
  `link set ${tapDevice} up`,
  `addr add ${gateway.address4}/24 dev ${tapDevice}`,
  `addr add ${formerResolver.address4}/32 dev ${tapDevice}`,
  `addr add ${gateway.address6}/64 dev ${tapDevice} nodad`,
  `neigh add ${guest.address4} lladdr ${guest.mac} dev ${tapDevice} nud permanent`,
  `neigh add ${guest.address6} lladdr ${guest.mac} dev ${tapDevice} nud permanent`,
];

const settingCommands = Object.entries(slotSettings)
  .map(([file, value]) => `echo ${value} > /proc/sys/${file}`)
  .join('; ');

/** Removes a slot, or what there is of it. Idempotent. */
export async function removeSlot(name: string): Promise<void> {
  // The veth first, for the kernel takes down a namespace's own devices later, in the background.
  await runTool('ip', ['-force', '-batch', '-'], `link del ${name}\nnetns del ${name}\n`).catch((error: unknown) => {
    // Without either there is nothing to remove; whoever needs the name finds it taken otherwise.
    if (!/Cannot find|No such/.test(String(error))) throw error;
  });
}

/** Identity of a namespace, by which the one a process is in is recognized. Undefined when it is gone. */
export async function namespaceIdentity(file: string): Promise<string | undefined> {
  const stat = await fs.stat(file).catch(() => undefined);
  return stat && `${stat.dev}:${stat.ino}`;
}
