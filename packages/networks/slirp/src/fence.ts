import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { specialNetworks } from '@sylph/model';

const run = promisify(execFile);
const nftTimeoutMs = 10_000;

/** Host users of VMs: first and last. */
export interface UidRange {
  first: number;
  last: number;
}

/** Name of our table: one per range, so that two daemons with their own ranges do not meet. */
export function tableName(range: UidRange): string {
  return `sylph_${range.first}`;
}

/**
 * Rules for packets that processes of these users send: the internet, and DNS to the host's own resolvers; never the host itself, nor private ranges. User-mode networking makes every connection of a guest one of
 * its hypervisor process, so the process's user is the guest. The table is replaced in one transaction.
 */
export function fenceRules(range: UidRange, resolvers: readonly string[]): string {
  const users = `meta skuid ${range.first}-${range.last}`;
  const dns = resolvers.map(
    (address) =>
      `    ${isIP(address) === 6 ? 'ip6' : 'ip'} daddr ${address} meta l4proto { tcp, udp } th dport 53 accept`,
  );
  return [
    `table inet ${tableName(range)}`,
    `delete table inet ${tableName(range)}`,
    `table inet ${tableName(range)} {`,
    '  chain output {',
    '    type filter hook output priority 0; policy accept;',
    `    ${users} jump sprites`,
    '  }',
    '  chain sprites {',
    ...dns,
    '    oif "lo" reject',
    `    ip daddr { ${specialNetworks.ipv4.join(', ')} } reject`,
    `    ip6 daddr { ${specialNetworks.ipv6.join(', ')} } reject`,
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Puts the fence up. Resolves with what stood in the way, undefined when it stands. */
export async function raiseFence(range: UidRange): Promise<string | undefined> {
  const rules = fenceRules(range, await hostResolvers());
  try {
    const child = run('nft', ['-f', '-'], { timeout: nftTimeoutMs });
    child.child.stdin?.end(rules);
    await child;
    return undefined;
  } catch (error) {
    return firstLine(error);
  }
}

/** Takes the fence down. One that is not there is fine. */
export async function lowerFence(range: UidRange): Promise<void> {
  const child = run('nft', ['-f', '-'], { timeout: nftTimeoutMs });
  child.child.stdin?.end(`table inet ${tableName(range)}\ndelete table inet ${tableName(range)}\n`);
  // Without nft there was no fence either; rules left behind concern users nobody has.
  await child.catch(() => undefined);
}

/** Name servers of the host, which the user-mode stack forwards DNS to. */
async function hostResolvers(): Promise<string[]> {
  // No file: no DNS for guests either, nothing to allow.
  const text = await fs.readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  return [...text.matchAll(/^nameserver\s+(\S+)/gm)]
    .map(([, address]) => (address as string).split('%')[0] as string)
    .filter((address) => isIP(address) !== 0);
}

function firstLine(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'nft is not installed';
  const text =
    error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr !== ''
      ? error.stderr
      : String(error);
  return (text.split('\n')[0] ?? '').trim();
}
