import { sql, type Kysely } from 'kysely';
import type { Tables } from './rows.ts';

/** The lowest uid from `base` up that no sprite has. */
export async function lowestFreeUid(db: Kysely<Tables>, base: number): Promise<number> {
  const lowest = await db.selectFrom('sprites').select('uid').where('uid', '=', base).executeTakeFirst();
  if (lowest === undefined) return base;
  const highest = await db
    .selectFrom('sprites')
    .select('uid')
    .orderBy('uid', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  const { total } = await db
    .selectFrom('spriteCounts')
    .select((select) => select.fn.sum<number>('amount').as('total'))
    .executeTakeFirstOrThrow();
  // As many sprites as uids in that range, and none below it: there is no gap. That is the usual case, and finding a gap takes a walk from `base` to it.
  const below = await db.selectFrom('sprites').select('uid').where('uid', '<', base).limit(1).executeTakeFirst();
  if (below === undefined && highest.uid - base + 1 === total) return highest.uid + 1;
  const gap = await db
    .selectFrom('sprites as used')
    .select('used.uid')
    .where('used.uid', '>=', base)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('sprites as next')
            .select('next.uid')
            .whereRef('next.uid', '=', sql`used.uid + 1`),
        ),
      ),
    )
    .orderBy('used.uid')
    .limit(1)
    .executeTakeFirstOrThrow();
  return gap.uid + 1;
}
