import type { PolicyRepository, SpritePolicies } from '@sylph/engine';
import type { NetworkDenial, NetworkPolicy, SpriteId } from '@sylph/model';
import type { Kysely } from 'kysely';
import { run } from './failures.ts';
import { rows, type Tables } from './rows.ts';

/** Policies and what they denied. */
export class SqlitePolicies implements PolicyRepository {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  policies(spriteId: SpriteId): Promise<SpritePolicies> {
    return run(async () => {
      const row = await this.#db
        .selectFrom('spritePolicies')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .executeTakeFirst();
      return row === undefined ? {} : rows.policies(row);
    });
  }

  setPolicies(
    spriteId: SpriteId,
    patch: { [Kind in keyof SpritePolicies]?: SpritePolicies[Kind] | null },
  ): Promise<void> {
    return run(async () => {
      const values = rows.toPolicies(patch);
      if (Object.keys(values).length === 0) return;
      await this.#db
        .insertInto('spritePolicies')
        .values({ network: null, privileges: null, resources: null, ...values, spriteId })
        .onConflict((conflict) => conflict.column('spriteId').doUpdateSet(values))
        .execute();
    });
  }

  orgNetworkPolicy(orgId: string): Promise<NetworkPolicy | undefined> {
    return run(async () => {
      const row = await this.#db.selectFrom('orgPolicies').selectAll().where('orgId', '=', orgId).executeTakeFirst();
      return row === undefined
        ? undefined
        : rows.policies({ network: row.network, privileges: null, resources: null }).network;
    });
  }

  setOrgNetworkPolicy(orgId: string, policy: NetworkPolicy | null): Promise<void> {
    return run(async () => {
      const { network } = rows.toPolicies({ network: policy });
      if (network === null || network === undefined)
        await this.#db.deleteFrom('orgPolicies').where('orgId', '=', orgId).execute();
      else
        await this.#db
          .insertInto('orgPolicies')
          .values({ orgId, network })
          .onConflict((conflict) => conflict.column('orgId').doUpdateSet({ network }))
          .execute();
    });
  }

  addDenials(spriteId: SpriteId, denials: readonly NetworkDenial[], keep: number): Promise<void> {
    return run(() =>
      this.#db.transaction().execute(async (trx) => {
        for (const denial of denials) {
          const row = rows.toDenial(spriteId, denial);
          await trx
            .insertInto('denials')
            .values(row)
            .onConflict((conflict) =>
              conflict.columns(['spriteId', 'kind', 'target', 'port', 'protocol', 'reason']).doUpdateSet((set) => ({
                amount: set('denials.amount', '+', row.amount),
                lastAt: row.lastAt,
                name: row.name,
              })),
            )
            .execute();
        }
        const excess = await trx
          .selectFrom('denials')
          .select(['kind', 'target', 'port', 'protocol', 'reason'])
          .where('spriteId', '=', spriteId)
          .orderBy('lastAt', 'desc')
          .orderBy('target')
          .limit(-1)
          .offset(keep)
          .execute();
        for (const { kind, target, port, protocol, reason } of excess)
          await trx
            .deleteFrom('denials')
            .where('spriteId', '=', spriteId)
            .where('kind', '=', kind)
            .where('target', '=', target)
            .where('port', '=', port)
            .where('protocol', '=', protocol)
            .where('reason', '=', reason)
            .execute();
      }),
    );
  }

  denials(spriteId: SpriteId, limit: number): Promise<NetworkDenial[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('denials')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .orderBy('lastAt', 'desc')
        .limit(limit)
        .execute();
      return found.map(rows.denial);
    });
  }
}

/** Gives new sprites the policies of those they are made from; `trx` is the transaction that makes them. */
export async function inheritPolicies(trx: Kysely<Tables>, child: SpriteId, parent: string): Promise<void> {
  await trx
    .insertInto('spritePolicies')
    .columns(['spriteId', 'network', 'privileges', 'resources'])
    .expression((select) =>
      select
        .selectFrom('spritePolicies')
        .select((column) => [column.val(child).as('spriteId'), 'network', 'privileges', 'resources'])
        .where('spriteId', '=', parent),
    )
    .execute();
}
