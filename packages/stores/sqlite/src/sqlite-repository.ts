import { randomInt, randomUUID } from 'node:crypto';
import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type {
  CheckpointRow,
  DeliveryRow,
  IdempotencyRow,
  OrgRow,
  Repository,
  SpriteRow,
  TokenRow,
} from '@sylph/engine';
import { nameTaken, SylphError, type CheckpointId, type SpriteId } from '@sylph/model';
import { CamelCasePlugin, Kysely, sql } from 'kysely';
import { SqliteEdge } from './edge.ts';
import { isDuplicate, run, translate } from './failures.ts';
import { migrate } from './migrations.ts';
import { NodeSqliteDialect } from './node-sqlite-dialect.ts';
import { lowestFreeUid } from './free-uid.ts';
import { inheritPolicies, SqlitePolicies } from './policies.ts';
import { ReadCache } from './read-cache.ts';
import { rows, type Tables } from './rows.ts';
import { SqliteSshKeys } from './ssh-keys.ts';

/** How long a statement waits for another process's write. Writes are a few milliseconds long. */
const busyTimeoutMs = 5_000;
/** Ids read at once by `spriteIds`. */
const idPageSize = 1_000;
/** Length of an organization's URL suffix, see `maxNameLength` in the model. */
const suffixLength = 6;
const suffixAlphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';

/**
 * Opens the database at `path`, making and migrating it as needed. Readable by its owner only. Several processes may have it open at once.
 * Throws `host_unfit` for a database of a newer version.
 */
export function openSqliteRepository(path: string): Repository {
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: busyTimeoutMs });
  try {
    database.exec('pragma journal_mode = wal');
    database.exec('pragma synchronous = full');
    migrate(database);
  } catch (error) {
    database.close();
    throw translate(error);
  }
  return new SqliteRepository(
    new Kysely<Tables>({ dialect: new NodeSqliteDialect(database), plugins: [new CamelCasePlugin()] }),
    new ReadCache(database),
  );
}

class SqliteRepository implements Repository {
  readonly #db: Kysely<Tables>;
  readonly #lately: ReadCache;
  readonly policies: SqlitePolicies;
  readonly edge: SqliteEdge;
  readonly sshKeys: SqliteSshKeys;

  constructor(db: Kysely<Tables>, lately: ReadCache) {
    this.#db = db;
    this.#lately = lately;
    this.policies = new SqlitePolicies(db);
    this.edge = new SqliteEdge(db);
    this.sshKeys = new SqliteSshKeys(db);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#db.destroy();
  }

  orgBySlug(slug: string): Promise<OrgRow | undefined> {
    return run(async () => {
      const row = await this.#db.selectFrom('orgs').selectAll().where('slug', '=', slug).executeTakeFirst();
      return row && rows.org(row);
    });
  }

  org(id: string): Promise<OrgRow | undefined> {
    return this.#cached(`org ${id}`, async () => {
      const row = await this.#db.selectFrom('orgs').selectAll().where('id', '=', id).executeTakeFirst();
      return row && rows.org(row);
    });
  }

  orgBySuffix(urlSuffix: string): Promise<OrgRow | undefined> {
    return this.#cached(`suffix ${urlSuffix}`, async () => {
      const row = await this.#db.selectFrom('orgs').selectAll().where('urlSuffix', '=', urlSuffix).executeTakeFirst();
      return row && rows.org(row);
    });
  }

  ensureOrg(slug: string): Promise<OrgRow> {
    return run(async () => {
      for (;;) {
        const known = await this.orgBySlug(slug);
        if (known !== undefined) return known;
        const row: OrgRow = { id: randomUUID(), slug, urlSuffix: randomSuffix(), createdAt: new Date().toISOString() };
        // Another process may make the same one, and a suffix may be taken by chance: look again, or draw again.
        await this.#db
          .insertInto('orgs')
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
    });
  }

  insertToken(row: TokenRow): Promise<void> {
    return run(async () => {
      await this.#db.insertInto('tokens').values(row).execute();
    });
  }

  token(id: string): Promise<TokenRow | undefined> {
    return this.#cached(`token ${id}`, async () => {
      const row = await this.#db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
      return row && rows.token(row);
    });
  }

  tokens(orgId?: string): Promise<TokenRow[]> {
    return run(async () => {
      let query = this.#db.selectFrom('tokens').selectAll().orderBy('createdAt').orderBy('id');
      if (orgId !== undefined) query = query.where('orgId', '=', orgId);
      return (await query.execute()).map(rows.token);
    });
  }

  revokeToken(id: string, at: string): Promise<boolean> {
    return run(async () => {
      const { numUpdatedRows } = await this.#db
        .updateTable('tokens')
        .set({ revokedAt: at })
        .where('id', '=', id)
        .where('revokedAt', 'is', null)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    });
  }

  touchToken(id: string, at: string): Promise<void> {
    return run(async () => {
      await this.#db.updateTable('tokens').set({ lastUsedAt: at }).where('id', '=', id).execute();
    });
  }

  insertSprites(wanted: readonly Omit<SpriteRow, 'uid'>[], uidBase: number): Promise<SpriteRow[]> {
    return run(() =>
      this.#db.transaction().execute(async (trx) => {
        const inserted: SpriteRow[] = [];
        for (const row of wanted) inserted.push(await insertSprite(trx, row, uidBase));
        return inserted;
      }),
    );
  }

  sprite(id: SpriteId): Promise<SpriteRow | undefined> {
    return run(async () => {
      const row = await this.#db.selectFrom('sprites').selectAll().where('id', '=', id).executeTakeFirst();
      return row && rows.sprite(row);
    });
  }

  spriteByName(orgId: string, name: string): Promise<SpriteRow | undefined> {
    return this.#cached(`sprite ${orgId}/${name}`, async () => {
      const row = await this.#db
        .selectFrom('sprites')
        .selectAll()
        .where('orgId', '=', orgId)
        .where('name', '=', name)
        .executeTakeFirst();
      return row && rows.sprite(row);
    });
  }

  listSprites(query: {
    orgId: string;
    prefix?: string | undefined;
    after?: string | undefined;
    limit: number;
  }): Promise<SpriteRow[]> {
    return run(async () => {
      let select = this.#db
        .selectFrom('sprites')
        .selectAll()
        .where('orgId', '=', query.orgId)
        .orderBy('name')
        .limit(query.limit);
      if (query.after !== undefined) select = select.where('name', '>', query.after);
      // A range rather than LIKE: the index serves it, and the prefix needs no escaping. Names are ASCII, so U+FFFF sorts after all of them.
      if (query.prefix) select = select.where('name', '>=', query.prefix).where('name', '<', `${query.prefix}\uffff`);
      return (await select.execute()).map(rows.sprite);
    });
  }

  countSprites(orgId?: string): Promise<Record<SpriteRow['lastState'], number>> {
    return run(async () => {
      let query = this.#db
        .selectFrom('spriteCounts')
        .select(['lastState', (select) => select.fn.sum<number>('amount').as('amount')])
        .groupBy('lastState');
      if (orgId !== undefined) query = query.where('orgId', '=', orgId);
      const counts = { new: 0, awake: 0, memory: 0, disk: 0, failed: 0 };
      for (const { lastState, amount } of await query.execute()) counts[lastState] = amount;
      return counts;
    });
  }

  async *spriteIds(): AsyncIterable<SpriteId> {
    let after = '';
    for (;;) {
      const page = await run(() =>
        this.#db.selectFrom('sprites').select('id').where('id', '>', after).orderBy('id').limit(idPageSize).execute(),
      );
      for (const { id } of page) yield id;
      if (page.length < idPageSize) return;
      after = page.at(-1)?.id ?? after;
    }
  }

  awakeSprites(): Promise<SpriteRow[]> {
    return run(async () => {
      // The literal lets SQLite use the partial index.
      const found = await this.#db
        .selectFrom('sprites')
        .selectAll()
        .where(sql<boolean>`last_state = 'awake'`)
        .execute();
      return found.map(rows.sprite);
    });
  }

  updateSprite(id: SpriteId, patch: Partial<Omit<SpriteRow, 'id' | 'orgId' | 'uid'>>): Promise<SpriteRow> {
    return run(async () => {
      const values = rows.toSpritePatch(patch);
      if (Object.keys(values).length === 0) return found(await this.sprite(id));
      try {
        const row = await this.#db
          .updateTable('sprites')
          .set(values)
          .where('id', '=', id)
          .returningAll()
          .executeTakeFirst();
        return found(row && rows.sprite(row));
      } catch (error) {
        throw patch.name !== undefined && isDuplicate(error, 'sprites.name') ? nameTaken(patch.name, error) : error;
      }
    });
  }

  takeCounter(id: SpriteId, counter: 'nextCheckpoint' | 'nextSession', count = 1): Promise<number> {
    return run(async () => {
      const row = await this.#db
        .updateTable('sprites')
        .set((set) => ({ [counter]: set(counter, '+', count) }))
        .where('id', '=', id)
        .returning(counter)
        .executeTakeFirst();
      return found(row)[counter] - count;
    });
  }

  removeSprite(id: SpriteId): Promise<void> {
    return run(async () => {
      await this.#db.deleteFrom('sprites').where('id', '=', id).execute();
    });
  }

  insertCheckpoint(row: CheckpointRow): Promise<void> {
    return run(async () => {
      await this.#db.insertInto('checkpoints').values(rows.toCheckpoint(row)).execute();
    });
  }

  checkpoint(spriteId: SpriteId, id: CheckpointId): Promise<CheckpointRow | undefined> {
    return run(async () => {
      const row = await this.#db
        .selectFrom('checkpoints')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && rows.checkpoint(row);
    });
  }

  checkpoints(spriteId: SpriteId): Promise<CheckpointRow[]> {
    return run(async () => {
      // By order of insertion: a clock may have been set back between two of them.
      const all = await this.#db
        .selectFrom('checkpoints')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .orderBy('ordinal', 'desc')
        .execute();
      return all.map(rows.checkpoint);
    });
  }

  updateCheckpoint(
    spriteId: SpriteId,
    id: CheckpointId,
    patch: Partial<Pick<CheckpointRow, 'damaged' | 'comment'>>,
  ): Promise<void> {
    return run(async () => {
      const values = rows.toCheckpointPatch(patch);
      if (Object.keys(values).length === 0) return;
      await this.#db
        .updateTable('checkpoints')
        .set(values)
        .where('spriteId', '=', spriteId)
        .where('id', '=', id)
        .execute();
    });
  }

  removeCheckpoint(spriteId: SpriteId, id: CheckpointId): Promise<void> {
    return run(async () => {
      await this.#db.deleteFrom('checkpoints').where('spriteId', '=', spriteId).where('id', '=', id).execute();
    });
  }

  idempotent(orgId: string, key: string): Promise<IdempotencyRow | undefined> {
    return run(async () => {
      const row = await this.#db
        .selectFrom('idempotency')
        .selectAll()
        .where('orgId', '=', orgId)
        .where('key', '=', key)
        .executeTakeFirst();
      return row && rows.idempotency(row);
    });
  }

  insertDelivery(row: DeliveryRow): Promise<void> {
    return run(async () => {
      await this.#db
        .insertInto('deliveries')
        .values(row)
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute();
    });
  }

  nextDeliveries(limit: number, exceptOrgs: readonly string[] = []): Promise<DeliveryRow[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('deliveries')
        .selectAll()
        .$if(exceptOrgs.length > 0, (query) => query.where('orgId', 'not in', exceptOrgs))
        .orderBy('nextAttemptAt')
        .limit(limit)
        .execute();
      return found.map(rows.delivery);
    });
  }

  updateDelivery(id: string, patch: Pick<DeliveryRow, 'attempts' | 'nextAttemptAt'>): Promise<void> {
    return run(async () => {
      await this.#db.updateTable('deliveries').set(patch).where('id', '=', id).execute();
    });
  }

  removeDelivery(id: string): Promise<void> {
    return run(async () => {
      await this.#db.deleteFrom('deliveries').where('id', '=', id).execute();
    });
  }

  insertIdempotent(row: IdempotencyRow): Promise<void> {
    return run(async () => {
      const { orgId: _orgId, key: _key, ...values } = row;
      await this.#db
        .insertInto('idempotency')
        .values(row)
        .onConflict((conflict) => conflict.columns(['orgId', 'key']).doUpdateSet(values))
        .execute();
    });
  }

  #cached<Row extends object>(key: string, load: () => Promise<Row | undefined>): Promise<Row | undefined> {
    return run(() => this.#lately.get(key, load));
  }

  pruneIdempotent(before: string): Promise<void> {
    return run(async () => {
      await this.#db.deleteFrom('idempotency').where('createdAt', '<', before).execute();
    });
  }
}

/** `trx` is a transaction: nobody else takes the uid between the look and the insertion. */
async function insertSprite(trx: Kysely<Tables>, row: Omit<SpriteRow, 'uid'>, uidBase: number): Promise<SpriteRow> {
  const complete: SpriteRow = { ...row, uid: await lowestFreeUid(trx, uidBase) };
  try {
    await trx.insertInto('sprites').values(rows.toSprite(complete)).execute();
    if (row.parentSpriteId !== null) await inheritPolicies(trx, row.id, row.parentSpriteId);
    return complete;
  } catch (error) {
    throw isDuplicate(error, 'sprites.name') ? nameTaken(row.name, error) : error;
  }
}

function randomSuffix(): string {
  return Array.from({ length: suffixLength }, () => suffixAlphabet[randomInt(suffixAlphabet.length)]).join('');
}

function found<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new SylphError('sprite_not_found', 'sprite not found');
  return row;
}
