import { SylphError } from '@sylph/model';

/** Extended result codes of SQLite: https://sqlite.org/rescode.html */
const result = { busy: 5, full: 13, constraintPrimaryKey: 1555, constraintUnique: 2067 } as const;

function errcode(thrown: unknown): number | undefined {
  return thrown instanceof Error && 'errcode' in thrown && typeof thrown.errcode === 'number'
    ? thrown.errcode
    : undefined;
}

/** Whether a write failed because a row with these values exists; `columns` as SQLite names them, e.g. `sprites.org_id, sprites.name`. */
export function isDuplicate(thrown: unknown, columns: string): boolean {
  const code = errcode(thrown);
  return (
    (code === result.constraintUnique || code === result.constraintPrimaryKey) &&
    (thrown as Error).message.includes(columns)
  );
}

/** A failure of SQLite in the product's terms: a full disk and a lock that does not come free are no bugs. */
export function translate(thrown: unknown): unknown {
  const code = errcode(thrown);
  if (code === undefined) return thrown;
  if ((code & 0xff) === result.full) {
    return new SylphError('pool_full', 'the file system of the database is full', {
      hint: 'Free space in the data directory.',
      cause: thrown,
    });
  }
  if ((code & 0xff) === result.busy) {
    return new SylphError('timeout', 'the database is locked by another process', {
      hint: 'Look for a second sylphd or a backup that holds sylph.db.',
      cause: thrown,
    });
  }
  return thrown;
}

/** Runs a piece of work, telling its failures in the product's terms. */
export async function run<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}
