import fs from 'node:fs/promises';
import * as z from 'zod';
import { parseForwardingComment, type ForwardingBefore } from './host-table.ts';
import { runTool } from './tools.ts';

const forward4 = '/proc/sys/net/ipv4/ip_forward';
const redirects4 = '/proc/sys/net/ipv4/conf/all/accept_redirects';
const forward6 = '/proc/sys/net/ipv6/conf/all/forwarding';

/** Whether IPv6 of slots can be passed on, and why not. */
export interface Ipv6 {
  usable: boolean;
  reason: string;
}

const routeList = z.array(z.object({ dst: z.string(), protocol: z.string().optional() }));
const addressList = z.array(z.object({ addr_info: z.array(z.object({ dynamic: z.boolean().optional() })).optional() }));

/** Looks at the host's IPv6. A host that learns routes or addresses from its router would lose them if it forwarded: it is left alone. */
export async function ipv6Outlook(): Promise<Ipv6> {
  // Absent where the kernel runs without IPv6.
  const forwarding = await setting(forward6).catch(() => undefined);
  if (forwarding === undefined) return { usable: false, reason: 'this host has no IPv6' };
  const routes = routeList.parse(await ipJson(['-6', 'route', 'show', 'default']));
  if (routes.length === 0) return { usable: false, reason: 'this host has no IPv6 default route' };
  if (forwarding !== '0') return { usable: true, reason: '' };
  const addresses = addressList.parse(await ipJson(['-6', 'addr', 'show', 'scope', 'global']));
  const learned =
    routes.some(({ protocol }) => protocol === 'ra') ||
    addresses.some(({ addr_info }) => addr_info?.some(({ dynamic }) => dynamic === true));
  if (!learned) return { usable: true, reason: '' };
  return {
    usable: false,
    reason:
      'this host learns its IPv6 from a router and would stop if it forwarded; net.ipv6.conf.all.forwarding=1 with accept_ra=2 makes it do both',
  };
}

/** What was forwarded before any daemon of this host changed it: as another's table says, else as it is now. */
export async function forwardingBefore(ipv6: Ipv6): Promise<ForwardingBefore> {
  // Looked at before the tables: a daemon that starts just now has its table before it changes anything.
  const now = {
    redirects4: (await setting(forward4)) === '0' ? await setting(redirects4) : undefined,
    switched6: ipv6.usable && (await setting(forward6)) === '0',
  };
  for (const table of await sylphTables()) {
    const text = /^\tcomment "([^"]*)"$/m.exec(await runTool('nft', ['--terse', 'list', 'table', 'inet', table]))?.[1];
    const known = text === undefined ? undefined : parseForwardingComment(text);
    if (known?.redirects4 !== undefined || known?.switched6 === true) return known;
  }
  return now;
}

/** Has the kernel forward what tables let through. */
export async function forward(before: ForwardingBefore): Promise<void> {
  if (before.redirects4 !== undefined && (await setting(forward4)) === '0') await fs.writeFile(forward4, '1');
  if (before.switched6 && (await setting(forward6)) === '0') await fs.writeFile(forward6, '1');
}

/** Puts back what {@link forward} changed. */
export async function stopForwarding(before: ForwardingBefore): Promise<void> {
  if (before.redirects4 !== undefined) {
    await fs.writeFile(forward4, '0');
    await fs.writeFile(redirects4, before.redirects4);
  }
  if (before.switched6) await fs.writeFile(forward6, '0');
}

/** Tables of this host's daemons. */
export async function sylphTables(): Promise<string[]> {
  const text = await runTool('nft', ['list', 'tables', 'inet']);
  return [...text.matchAll(/^table inet (sylph\d+)$/gm)].map(([, name]) => name as string);
}

async function setting(file: string): Promise<string> {
  return (await fs.readFile(file, 'utf8')).trim();
}

async function ipJson(args: readonly string[]): Promise<unknown> {
  const text = await runTool('ip', ['-j', ...args]);
  return text.trim() === '' ? [] : JSON.parse(text);
}
