import type { NetworkDenial } from '@sylph/model';
import * as z from 'zod';
import { deniedTimeoutS, slotTable } from './slot-table.ts';
import { nftJson } from './tools.ts';

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

const sets = ['denied4', 'denied6', 'denied_other4', 'denied_other6'];

const elements = z.object({
  nftables: z.array(
    z.object({
      set: z
        .object({
          elem: z
            .array(
              z.object({
                elem: z.object({
                  val: z.object({ concat: z.array(z.union([z.string(), z.number()])) }),
                  expires: z.number(),
                  counter: z.object({ packets: z.number() }),
                }),
              }),
            )
            .optional(),
        })
        .optional(),
    }),
  ),
});

/** Takes what was denied in a slot since the last time: reads and empties its sets. */
export async function takeDenied(namespace: string): Promise<DeniedAddress[]> {
  const listed = await nftJson(
    [
      ...sets.map((set) => `list set inet ${slotTable} ${set}`),
      ...sets.map((set) => `flush set inet ${slotTable} ${set}`),
    ],
    namespace,
  );
  const now = Date.now();
  return listed.flatMap((document) =>
    elements.parse(document).nftables.flatMap(({ set }) =>
      (set?.elem ?? []).map(({ elem: { val, expires, counter } }) => {
        const [address, protocol, port] = val.concat;
        return {
          address: String(address),
          protocol: String(protocol),
          port: port === undefined ? null : portNumber(port),
          count: counter.packets,
          lastAt: new Date(now - (deniedTimeoutS - expires) * 1000),
        };
      }),
    ),
  );
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
