import type { SshKeyRepository, SshKeyRow } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { Kysely } from 'kysely';
import { isDuplicate, run } from './failures.ts';
import { rows, type Tables } from './rows.ts';

/** SSH keys of organizations. */
export class SqliteSshKeys implements SshKeyRepository {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  insertSshKey(row: SshKeyRow): Promise<void> {
    return run(async () => {
      try {
        await this.#db.insertInto('sshKeys').values(row).execute();
      } catch (error) {
        throw isDuplicate(error, 'ssh_keys.org_id, ssh_keys.fingerprint')
          ? new SylphError('ssh_key_taken', `the organization has the key ${row.fingerprint} already`, { cause: error })
          : error;
      }
    });
  }

  sshKeys(orgId: string): Promise<SshKeyRow[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('sshKeys')
        .selectAll()
        .where('orgId', '=', orgId)
        .orderBy('name')
        .orderBy('createdAt')
        .execute();
      return found.map(rows.sshKey);
    });
  }

  sshKeysByFingerprint(fingerprint: string): Promise<SshKeyRow[]> {
    return run(async () => {
      const found = await this.#db
        .selectFrom('sshKeys')
        .selectAll()
        .where('fingerprint', '=', fingerprint)
        .orderBy('createdAt')
        .execute();
      return found.map(rows.sshKey);
    });
  }

  removeSshKey(orgId: string, id: string): Promise<boolean> {
    return run(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom('sshKeys')
        .where('orgId', '=', orgId)
        .where('id', '=', id)
        .executeTakeFirst();
      return numDeletedRows > 0n;
    });
  }

  touchSshKey(id: string, at: string): Promise<void> {
    return run(async () => {
      await this.#db.updateTable('sshKeys').set({ lastUsedAt: at }).where('id', '=', id).execute();
    });
  }
}
