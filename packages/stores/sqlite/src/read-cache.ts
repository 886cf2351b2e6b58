import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** Rows kept; beyond, all are forgotten. */
const maxRows = 1_000;

/**
 * Rows read lately, for as long as nothing in the database has changed: neither by this connection nor by another process, such as the one that revokes a token. SQLite tells both apart from reading anything.
 * What every request asks again (its token, organization and sprite) then costs microseconds.
 */
export class ReadCache {
  readonly #versions: StatementSync;
  readonly #rows = new Map<string, object>();
  #version: unknown;

  constructor(database: DatabaseSync) {
    // Rows changed by this connection since it was opened, and a number that changes with the commits of others.
    this.#versions = database.prepare(
      `select total_changes() || '/' || data_version as version from pragma_data_version`,
    );
  }

  /** A row, from memory or as `load` reads it. Not to be changed by who gets it. */
  async get<Row extends object>(key: string, load: () => Promise<Row | undefined>): Promise<Row | undefined> {
    const version = this.#versions.get()?.['version'];
    if (version !== this.#version) {
      this.#rows.clear();
      this.#version = version;
    }
    const known = this.#rows.get(key);
    if (known !== undefined) return known as Row;
    const row = await load();
    // Read before a change that was made meanwhile, perhaps.
    if (row === undefined || this.#versions.get()?.['version'] !== version || this.#version !== version) return row;
    if (this.#rows.size >= maxRows) this.#rows.clear();
    this.#rows.set(key, Object.freeze(row));
    return row;
  }
}
