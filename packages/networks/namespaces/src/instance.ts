import fs from 'node:fs';
import { SylphError } from '@sylph/model';
import * as z from 'zod';
import { instanceOf, rangeLayout, type Instance } from './plan.ts';
import { ipBatch, runTool } from './tools.ts';

/** Longest alias a link takes, bytes (IFALIASZ, linux/if.h). */
const maxAliasBytes = 255;

/** A link as `ip` tells it, as far as it matters here. */
const linkList = z.array(z.object({ ifname: z.string(), ifalias: z.string().optional() }));
type Link = z.output<typeof linkList>[number];

/** Links of the namespace we are in. */
export async function links(): Promise<Link[]> {
  return linkList.parse(JSON.parse(await runTool('ip', ['-j', 'link', 'show'])));
}

/**
 * Claims a number for this data directory, by a link whose name is the lock and whose alias says whose it is: the one an earlier daemon of it claimed, else the lowest that is free.
 * The link gets its alias before its name, so there is never one that nobody can account for. It carries the address of the forwarder, and nothing is ever sent through it.
 * Throws `host_unfit` when all numbers are taken.
 */
export async function claimInstance(range: string, dataDir: string): Promise<Instance> {
  const alias = Buffer.from(dataDir).subarray(0, maxAliasBytes).toString();
  const there = await links();
  await removeUnnamed(there);
  const { instances } = rangeLayout(range);
  const own = there.find(({ ifname, ifalias }) => ifalias === alias && /^sylph\d+$/.test(ifname));
  const number =
    own === undefined ? await claimFree(instances, alias, there) : Number(own.ifname.slice('sylph'.length));
  if (number >= instances)
    throw new SylphError('host_unfit', `network-range ${range} has no room for daemon number ${number} of this host`, {
      hint: 'Give network-range a larger network.',
    });
  const instance = instanceOf(range, number);
  await ipBatch([
    `addr replace ${instance.forwarder4}/32 dev ${instance.name}`,
    `addr replace ${instance.forwarder6}/128 dev ${instance.name} nodad`,
    `link set ${instance.name} up`,
  ]);
  return instance;
}

/** Gives the number back. */
export async function releaseInstance(instance: Instance): Promise<void> {
  await ipBatch([`link del ${instance.name}`]);
}

async function claimFree(instances: number, alias: string, there: readonly Link[]): Promise<number> {
  const unnamed = `sylphn${process.pid}-${claims++ % 10}`;
  await ipBatch([`link add ${unnamed} type bridge`, `link set dev ${unnamed} addrgenmode none`]);
  // Not in the batch, whose words are split at blanks.
  await runTool('ip', ['link', 'set', unnamed, 'alias', alias]);
  for (let number = 0; number < instances; number++) {
    if (there.some(({ ifname }) => ifname === `sylph${number}`)) continue;
    try {
      await runTool('ip', ['link', 'set', unnamed, 'name', `sylph${number}`]);
      return number;
    } catch (error) {
      // Another daemon was quicker; anything else fails for every number, and then there is none.
      if (!/File exists/.test((error as Error).message)) throw error;
    }
  }
  await ipBatch([`link del ${unnamed}`]);
  throw new SylphError('host_unfit', `${instances} daemons on this host have all of network-range`, {
    hint: 'Give this one another network-range.',
  });
}

/** Claims of this process, so that two at once have links of their own on the way to their names. */
let claims = 0;

/** Removes links of claims that broke off. */
async function removeUnnamed(there: readonly Link[]): Promise<void> {
  for (const { ifname } of there) {
    const pid = /^sylphn(\d+)-\d$/.exec(ifname)?.[1];
    if (pid !== undefined && !fs.existsSync(`/proc/${pid}`)) await ipBatch([`link del ${ifname}`]);
  }
}
