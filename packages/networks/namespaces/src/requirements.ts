import fs from 'node:fs/promises';
import * as z from 'zod';
import type { Instance } from './plan.ts';
import { nftJson, runTool } from './tools.ts';

const tunDevice = '/dev/net/tun';
/** What the kernel's documentation and udev give it: it lets nobody do anything, for making a device needs rights of its own, and ours exist already. */
const tunMode = 0o666;

/** Lets the users of VMs open the device through which they reach the TAP that was made for them. Returns a sentence where that changed something; throws the system's error where there is no such device. */
export async function openTun(): Promise<string | undefined> {
  const { mode } = await fs.stat(tunDevice);
  if ((mode & 0o006) === 0o006) return undefined;
  await fs.chmod(tunDevice, tunMode);
  return `${tunDevice} could not be opened by the users of VMs; its mode is now 0666, as usual`;
}

/** What this host lacks for network namespaces, found out by making and removing one of no name anybody uses. Undefined: nothing. */
export async function namespaceObstacle(): Promise<string | undefined> {
  try {
    await fs.access(tunDevice);
    await runTool('ip', ['-Version']);
    const trial =
      'ip link set lo up && ip tuntap add name spr-tap mode tap && ip link add a type veth peer name b && ip link add c type bridge';
    const rules =
      'table inet t { chain c { type filter hook forward priority 0; ct count over 1 reject; fib saddr . iif oif missing drop; }; }';
    await runTool('unshare', ['--net', 'sh', '-c', `set -e; ${trial}; exec nft -f -`], `${rules}\n`);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const chainList = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({
          family: z.string(),
          table: z.string(),
          name: z.string(),
          hook: z.string().optional(),
          policy: z.string().optional(),
        })
        .optional(),
    }),
  ),
});

/** Tables of others that drop what they do not know, at a place every packet of a slot passes. Our own rules cannot undo that. */
export async function foreignDrops(): Promise<string[]> {
  const { nftables } = chainList.parse(await nftJson(['list', 'chains']));
  return nftables.flatMap(({ chain }) =>
    chain?.policy === 'drop' &&
    (chain.hook === 'forward' || chain.hook === 'input') &&
    ['ip', 'ip6', 'inet'].includes(chain.family) &&
    !/^sylph\d*$/.test(chain.table)
      ? [`chain ${chain.name} of table ${chain.family} ${chain.table}`]
      : [],
  );
}

const routeList = z.array(z.object({ dst: z.string(), dev: z.string().optional() }));

/** Routes of others into an instance's addresses, as text. */
export async function foreignRoutes({ block4, name }: Instance): Promise<string[]> {
  const text = await runTool('ip', ['-j', 'route', 'show', 'root', block4]);
  const routes = text.trim() === '' ? [] : routeList.parse(JSON.parse(text));
  return routes
    .filter(({ dev }) => dev !== name && !dev?.startsWith(`${name}-`))
    .map(({ dst, dev }) => `${dst} on ${dev ?? 'several devices'}`);
}
