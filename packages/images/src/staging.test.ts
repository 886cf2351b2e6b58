import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Staging } from './staging.ts';

let dir = '';
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'sylph-staging-'))));
afterEach(async () => await rm(dir, { recursive: true }));

describe('Staging', () => {
  it('leaves nothing behind when the work fails', async () => {
    await assert.rejects(async () => {
      await using staging = await Staging.create(dir);
      await writeFile(join(staging.dir, 'half'), 'x');
      throw new Error('the work failed');
    }, /the work failed/);
    assert.deepEqual(await readdir(dir), []);
  });

  it('publishes the whole directory under its name', async () => {
    {
      await using staging = await Staging.create(dir);
      await writeFile(join(staging.dir, 'file'), 'x');
      assert.equal(await staging.publish('done'), join(dir, 'done'));
    }
    assert.deepEqual(await readdir(dir), ['done']);
    assert.equal(await readFile(join(dir, 'done/file'), 'utf8'), 'x');
  });

  it('keeps what another builder has published under the same name', async () => {
    await mkdir(join(dir, 'done'));
    {
      await using staging = await Staging.create(dir);
      await writeFile(join(staging.dir, 'file'), 'x');
      await staging.publish('done');
    }
    assert.deepEqual(await readdir(join(dir, 'done')), []);
    assert.deepEqual(await readdir(dir), ['done']);
  });

  it('sweeps what dead builders left, not what living ones build', async () => {
    await mkdir(join(dir, 'new-4194304999-abc123'));
    await mkdir(join(dir, `new-${process.pid}-abc123`));
    await using _staging = await Staging.create(dir);
    const names = await readdir(dir);
    assert.ok(!names.includes('new-4194304999-abc123'));
    assert.ok(names.includes(`new-${process.pid}-abc123`));
  });
});
