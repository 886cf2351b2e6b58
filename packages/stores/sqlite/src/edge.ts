import type { DomainRow, EdgeRepository, LinkRow } from '@sylph/engine';
import { SylphError, type SpriteId } from '@sylph/model';
import type { Kysely } from 'kysely';
import { isDuplicate, run } from './failures.ts';
import { rows, type Tables } from './rows.ts';

/** Preview links and domains. */
export class SqliteEdge implements EdgeRepository {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  insertLink(row: LinkRow): Promise<void> {
    return run(async () => {
      await this.#db.insertInto('links').values(row).execute();
    });
  }

  link(id: string): Promise<LinkRow | undefined> {
    return run(async () => {
      const row = await this.#db.selectFrom('links').selectAll().where('id', '=', id).executeTakeFirst();
      return row && rows.link(row);
    });
  }

  links(spriteId: SpriteId): Promise<LinkRow[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('links')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .orderBy('createdAt', 'desc')
        .orderBy('id')
        .execute();
      return found.map(rows.link);
    });
  }

  removeLink(spriteId: SpriteId, id: string): Promise<boolean> {
    return run(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom('links')
        .where('spriteId', '=', spriteId)
        .where('id', '=', id)
        .executeTakeFirst();
      return numDeletedRows > 0n;
    });
  }

  pruneLinks(before: string): Promise<void> {
    return run(async () => {
      await this.#db.deleteFrom('links').where('expiresAt', 'is not', null).where('expiresAt', '<', before).execute();
    });
  }

  insertDomain(row: DomainRow): Promise<void> {
    return run(async () => {
      try {
        await this.#db.insertInto('domains').values(row).execute();
      } catch (error) {
        throw isDuplicate(error, 'domains.domain')
          ? new SylphError('domain_taken', `the domain ${row.domain} leads to a sprite already`, { cause: error })
          : error;
      }
    });
  }

  domain(domain: string): Promise<DomainRow | undefined> {
    return run(async () => {
      const row = await this.#db.selectFrom('domains').selectAll().where('domain', '=', domain).executeTakeFirst();
      return row && rows.domain(row);
    });
  }

  domains(spriteId: SpriteId): Promise<DomainRow[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('domains')
        .selectAll()
        .where('spriteId', '=', spriteId)
        .orderBy('domain')
        .execute();
      return found.map(rows.domain);
    });
  }

  removeDomain(spriteId: SpriteId, domain: string): Promise<boolean> {
    return run(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom('domains')
        .where('spriteId', '=', spriteId)
        .where('domain', '=', domain)
        .executeTakeFirst();
      return numDeletedRows > 0n;
    });
  }
}
