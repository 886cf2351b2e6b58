import type { NetworkDenial } from '@sylph/model';
import * as z from 'zod';
import { deniedTimeoutS, slotTable } from './slot-table.ts';
import { nft, nftJson } from './tools.ts';

/** Something a guest tried to speak to, counted by the slot's table. */
export interface DeniedAddress {
  address: string;
  /** Null for what has no ports. */
  port: number | null;
  /** `tcp`, `udp`, `icmp`, or a number. */
  protocol: string;
  count: number;
  lastAt: Date;
}

const deniedSets = ['denied4', 'denied6', 'denied_other4', 'denied_other6'];

const deniedElement = z.object({
  elem: z.object({
    val: z.object({ concat: z.array(z.union([z.string(), z.number()])) }),
    expires: z.number(),
    counter: z.object({ packets: z.number() }),
  }),
});
const table = z.object({
  nftables: z.array(
    z.object({ set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional() }),
  ),
});

/** Takes what was denied in a slot since the last time: reads its sets and, where there is something in them, empties them. What is denied in the moment between is not counted. */
export async function takeDenied(namespace: string): Promise<DeniedAddress[]> {
  // The whole table: asked for several sets, nft 1.0.6 finds the last only.
  const listed = table.parse(await nftJson(['list', 'table', 'inet', slotTable], namespace));
  const now = Date.now();
  const found = listed.nftables.flatMap(({ set }) =>
    set?.elem && deniedSets.includes(set.name) ? set.elem.map((element) => deniedAddress(element, now)) : [],
  );
  if (found.length > 0) await nft(deniedSets.map((set) => `flush set inet ${slotTable} ${set}\n`).join(''), namespace);
  return found;
}

function deniedAddress(element: unknown, now: number): DeniedAddress {
  const { val, expires, counter } = deniedElement.parse(element).elem;
  const [address, protocol, port] = val.concat;
  return {
    address: String(address),
    protocol: String(protocol),
    port: port === undefined ? null : portNumber(port),
    count: counter.packets,
    lastAt: new Date(now - (deniedTimeoutS - expires) * 1000),
  };
}

/** `nft` writes some ports as the names of services. */
function portNumber(port: string | number): number | null {
  return typeof port === 'number' ? port : null;
}

/** Why an address was out of reach, as far as the address tells. */
export function reasonOf(denied: DeniedAddress, known: { special: boolean; named: boolean }): NetworkDenial['reason'] {
  if (denied.port === 53 || denied.port === 853) return 'foreign-dns';
  if (known.special) return 'special-range';
  return known.named ? 'other-port' : 'policy';
}
