import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import type { Repository } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { networkSuite } from './network-suite.ts';
import { insertSprite, plainSprite, repositorySuite } from './repository-suite.ts';
import { openSqliteRepository } from './sqlite-repository.ts';

class TempDir implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<TempDir> {
    return new TempDir(await mkdtemp(join(tmpdir(), 'sylph-sqlite-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

/** An empty database that goes when it is disposed of. */
async function openEmpty(): Promise<Repository> {
  const dir = await TempDir.make();
  const repository = openSqliteRepository(join(dir.path, 'sylph.db'));
  const dispose = repository[Symbol.asyncDispose].bind(repository);
  repository[Symbol.asyncDispose] = async () => {
    await dispose();
    await dir[Symbol.asyncDispose]();
  };
  return repository;
}

repositorySuite('sqlite', openEmpty);
networkSuite('sqlite', openEmpty);

describe('sqlite', () => {
  it('keeps everything across opening again, readable by the owner only', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    const write = async (repository: Repository): Promise<void> => {
      await using _ = repository;
      await insertSprite(repository, plainSprite(await repository.ensureOrg('acme'), 'one'), 1000);
    };
    await write(openSqliteRepository(path));
    await using repository = openSqliteRepository(path);
    const org = await repository.ensureOrg('acme');
    assert.equal((await repository.spriteByName(org.id, 'one'))?.uid, 1000);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(`${path}-wal`)).mode & 0o777, 0o600);
  });

  it('never answers from memory what it, or another process, has changed', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    await using repository = openSqliteRepository(path);
    await using other = openSqliteRepository(path);
    const org = await repository.ensureOrg('acme');
    const { id } = await insertSprite(repository, plainSprite(org, 'one'), 1000);
    const at = new Date(0).toISOString();
    const plain = { description: '', createdAt: at, expiresAt: null, lastUsedAt: null, revokedAt: null };
    await repository.insertToken({ id: 't', orgId: org.id, secretHash: 'h', ...plain });
    const first = await repository.token('t');
    assert.equal(await repository.token('t'), first, 'from memory');
    assert.equal((await repository.spriteByName(org.id, 'one'))?.reason, null);
    for (const [index, writer] of [repository, other, repository, other].entries()) {
      await writer.updateSprite(id, { reason: `reason ${index}` });
      for (const reader of [repository, other])
        assert.equal((await reader.spriteByName(org.id, 'one'))?.reason, `reason ${index}`);
    }
    await other.revokeToken('t', at);
    assert.equal((await repository.token('t'))?.revokedAt, at);
    await other.removeSprite(id);
    assert.equal(await repository.spriteByName(org.id, 'one'), undefined);
    await insertSprite(other, plainSprite(org, 'one'), 1000);
    assert.notEqual((await repository.spriteByName(org.id, 'one'))?.id, id);
  });

  it('keeps in memory no row that was changed while it was read', async () => {
    await using dir = await TempDir.make();
    await using repository = openSqliteRepository(join(dir.path, 'sylph.db'));
    const org = await repository.ensureOrg('acme');
    const { id } = await insertSprite(repository, plainSprite(org, 'one'), 1000);
    for (let round = 0; round < 50; round++) {
      const reason = `round ${round}`;
      await Promise.all([
        repository.spriteByName(org.id, 'one'),
        repository.updateSprite(id, { reason }),
        repository.spriteByName(org.id, 'one'),
      ]);
      assert.equal((await repository.spriteByName(org.id, 'one'))?.reason, reason);
    }
  });

  it('refuses a database of a newer version and leaves it alone', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    await openSqliteRepository(path)[Symbol.asyncDispose]();
    const newer = new DatabaseSync(path);
    newer
      .prepare('insert into schema_version (version, name, applied_at) values (99, ?, ?)')
      .run('from the future', '');
    newer.close();
    assert.throws(
      () => openSqliteRepository(path),
      (error) => error instanceof SylphError && error.code === 'host_unfit' && /version 99/.test(error.message),
    );
  });

  it('refuses a row that people have damaged', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    await using repository = openSqliteRepository(path);
    const org = await repository.ensureOrg('acme');
    const { id } = await insertSprite(repository, plainSprite(org, 'one'), 1000);
    const raw = new DatabaseSync(path);
    raw.prepare('update sprites set labels = ?').run('{"not": "a list"}');
    raw.close();
    await assert.rejects(repository.sprite(id));
  });

  it('serves several processes at once, from the first migration on', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    const program = `
      import { openSqliteRepository } from ${JSON.stringify(new URL('./sqlite-repository.ts', import.meta.url).href)};
      import { insertSprite, plainSprite } from ${JSON.stringify(new URL('./repository-suite.ts', import.meta.url).href)};
      await using repository = openSqliteRepository(${JSON.stringify(path)});
      const org = await repository.ensureOrg('acme');
      for (let n = 0; n < 25; n++) await insertSprite(repository, plainSprite(org, 'p' + process.pid + '-' + n), 1000);
    `;
    const children = [1, 2, 3].map(() =>
      spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
        stdio: ['ignore', 'inherit', 'inherit'],
      }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    assert.deepEqual(codes, [0, 0, 0]);
    await using repository = openSqliteRepository(path);
    const org = await repository.ensureOrg('acme');
    const all = await repository.listSprites({ orgId: org.id, limit: 1000 });
    assert.deepEqual(
      all.map(({ uid }) => uid).toSorted((a, b) => a - b),
      Array.from({ length: 75 }, (_, index) => 1000 + index),
    );
  });

  it('has all sprites inserted in one go or none when its process is killed', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    const program = `
      import { openSqliteRepository } from ${JSON.stringify(new URL('./sqlite-repository.ts', import.meta.url).href)};
      import { plainSprite } from ${JSON.stringify(new URL('./repository-suite.ts', import.meta.url).href)};
      const repository = openSqliteRepository(${JSON.stringify(path)});
      const org = await repository.ensureOrg('acme');
      for (let batch = 0; ; batch++) {
        await repository.insertSprites(Array.from({ length: 40 }, (_, n) => plainSprite(org, batch + '-' + n)), 1000);
        if (batch === 2) process.stdout.write('inserting');
      }
    `;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    await using repository = openSqliteRepository(path);
    const { new: inserted } = await repository.countSprites();
    assert.ok(inserted >= 120, `${inserted} sprites`);
    assert.equal(inserted % 40, 0);
  });

  it('answers lists, counts and names from indexes', async () => {
    await using dir = await TempDir.make();
    const path = join(dir.path, 'sylph.db');
    await openSqliteRepository(path)[Symbol.asyncDispose]();
    const database = new DatabaseSync(path);
    const plan = (query: string): string =>
      database
        .prepare(`explain query plan ${query}`)
        .all()
        .map((row) => String(row['detail']))
        .join('; ');
    assert.match(
      plan(
        `select * from sprites where org_id = 'o' and name >= 'a' and name < 'b' and name > 'ab' order by name limit 50`,
      ),
      /SEARCH sprites USING INDEX sprites_by_name/,
    );
    assert.doesNotMatch(
      plan(`select * from sprites where org_id = 'o' and name > 'ab' order by name limit 50`),
      /B-TREE/,
    );
    assert.match(
      plan(`select last_state, sum(amount) from sprite_counts where org_id = 'o' group by last_state`),
      /SEARCH sprite_counts USING PRIMARY KEY/,
    );
    assert.match(plan(`select * from sprites where last_state = 'awake'`), /USING INDEX sprites_by_state/);
    assert.match(
      plan(`select * from checkpoints where sprite_id = 's' order by ordinal desc`),
      /USING INDEX checkpoints_by_sprite/,
    );
    database.close();
  });
});
