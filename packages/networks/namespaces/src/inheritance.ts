import * as z from 'zod';
import { parseMarking, slotTable, type Admission, type SlotPolicy } from './slot-table.ts';
import { nftJson } from './tools.ts';

/** What an earlier daemon left in a slot. */
export interface Inheritance extends Pick<SlotPolicy, 'generation' | 'digest'> {
  /** Addresses let through, and addresses of names that were; those without time left have 0. */
  addresses: Admission[];
}

const table = z.object({
  nftables: z.array(
    z.object({
      set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
      rule: z.object({ chain: z.string(), comment: z.string().optional() }).optional(),
    }),
  ),
});
const commented = z.object({
  elem: z.object({
    val: z.union([z.string(), z.object({ concat: z.tuple([z.string(), z.number()]) })]),
    expires: z.number().optional(),
    comment: z.string(),
  }),
});

/** Reads a slot. Undefined when its rules do not say whose they are. */
export async function readInheritance(namespace: string): Promise<Inheritance | undefined> {
  const { nftables } = table.parse(await nftJson(['list', 'table', 'inet', slotTable], namespace));
  const comment = nftables.find(({ rule }) => rule?.chain === 'known')?.rule?.comment;
  const marking = comment === undefined ? undefined : parseMarking(comment);
  if (!marking) return undefined;
  const addresses = new Map<string, Admission>();
  // What has run out first, so that what has time left takes its place.
  for (const prefix of ['grace', 'allowed'])
    for (const { set } of nftables)
      if (set?.name.startsWith(prefix)) for (const element of set.elem ?? []) collect(addresses, element);
  return { ...marking, addresses: [...addresses.values()] };
}

/** Elements without a name say nothing a policy could be asked about. */
function collect(addresses: Map<string, Admission>, element: unknown): void {
  const parsed = commented.safeParse(element);
  if (!parsed.success) return;
  const { val, expires, comment: name } = parsed.data.elem;
  const [address, port] = typeof val === 'string' ? [val] : val.concat;
  const known = addresses.get(`${name} ${address}`);
  const ports = port === undefined ? undefined : [...(known?.ports ?? []).filter((other) => other !== port), port];
  addresses.set(`${name} ${address}`, { name, address, timeoutS: expires ?? 0, ...(ports ? { ports } : {}) });
}
