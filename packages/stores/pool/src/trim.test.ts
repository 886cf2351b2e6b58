import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { closePool, isMounted, openPool } from './mount.ts';
import { PoolFixture } from './testing/fixture.ts';
import { tool } from './testing/host-disk.ts';
import { Trimmer } from './trim.ts';

/** Waits until it is so; a promise that is broken fails the test by its time limit. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}

const fail = (error: unknown): void => assert.fail(String(error));

describe('giving free space back', { timeout: 60_000 }, () => {
  it('makes the pool file smaller after a large file was removed from the pool', async () => {
    await using fixture = await PoolFixture.make();
    const taken = async () => {
      await tool('sync', '-f', fixture.disk.path);
      return (await fs.stat(path.join(fixture.disk.path, 'pool.xfs'))).blocks * 512;
    };
    const before = await taken();
    const file = path.join(fixture.pool.root, 'large');
    await fs.writeFile(file, randomBytes(32 * 2 ** 20), { flush: true });
    const full = await taken();
    assert.ok(full > before + 30 * 2 ** 20, `${before} bytes became ${full}`);
    await using _trimmer = new Trimmer(fixture.pool, { everyMs: 5, onFailure: fail });
    await fs.rm(file);
    await until(async () => (await taken()) < full - 25 * 2 ** 20);
  });

  it('ends at once, whether it waits or works, and lets go of the pool', async () => {
    await using fixture = await PoolFixture.make();
    await new Trimmer(fixture.pool, { onFailure: fail })[Symbol.asyncDispose]();
    for (const workMs of [1, 2, 4, 8, 16]) {
      const trimmer = new Trimmer(fixture.pool, { everyMs: 0, onFailure: fail });
      await sleep(workMs);
      await trimmer[Symbol.asyncDispose]();
      await trimmer[Symbol.asyncDispose]();
      await closePool(fixture.pool);
      assert.ok(!(await isMounted(fixture.pool.root)));
      await openPool(fixture.disk.path);
    }
  });

  it('does nothing for a pool that is a directory', async () => {
    const root = '/nowhere';
    await using _trimmer = new Trimmer({ root, kind: 'directory' }, { everyMs: 1, onFailure: fail });
    await sleep(50);
  });

  it('tells of each failure and goes on trying', async () => {
    const failures: unknown[] = [];
    const pool = { root: '/nowhere', kind: 'loop' } as const;
    await using _trimmer = new Trimmer(pool, { everyMs: 1, onFailure: (error) => failures.push(error) });
    await until(async () => failures.length >= 2);
    assert.match(String(failures[0]), /fstrim/);
  });
});
