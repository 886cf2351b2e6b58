import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { CheckpointRow, OrgRow, Repository, SpriteRow } from '@sylph/engine';
import { nameTaken, SylphError, type SpriteId } from '@sylph/model';

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
const newSpriteId = (): SpriteId => `sprite-${randomUUID()}`;

/** A sprite's row with every optional value absent. */
export function plainSprite(org: OrgRow, name: string): Omit<SpriteRow, 'uid'> {
  return {
    id: newSpriteId(),
    orgId: org.id,
    name,
    createdAt: at(0),
    updatedAt: at(0),
    labels: [],
    urlAuth: 'sprite',
    privateAccess: 'admins',
    environment: {},
    shape: { cpus: 2, ramMib: 2048, storageGb: 20 },
    idleTimeoutS: 30,
    imageName: 'minimal',
    imageDigest: 'ab'.repeat(32),
    parentSpriteId: null,
    parentCheckpoint: null,
    currentCheckpoint: null,
    nextCheckpoint: 0,
    nextSession: 1,
    lastState: 'new',
    reason: null,
    lastRunningAt: null,
    lastWarmingAt: null,
    lastStart: null,
  };
}

/** Inserts one row. */
export async function insertSprite(
  repository: Repository,
  row: Omit<SpriteRow, 'uid'>,
  uidBase: number,
): Promise<SpriteRow> {
  const [inserted] = await repository.insertSprites([row], uidBase);
  assert.ok(inserted);
  return inserted;
}

const checkpointOf = (spriteId: SpriteId, id: string, more: Partial<CheckpointRow> = {}): CheckpointRow => ({
  spriteId,
  id,
  createdAt: at(0),
  comment: '',
  isAuto: false,
  parent: null,
  kind: 'memory',
  sizeBytes: 1,
  damaged: false,
  ...more,
});

const rejectsWith = (work: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(work, (error) => error instanceof SylphError && error.code === code);

/** What every implementation of `Repository` has to do. `open` gives an empty one each time; the suite disposes it. */
export function repositorySuite(name: string, open: () => Promise<Repository>): void {
  describe(`repository: ${name}`, () => {
    it('makes an organization once, whoever asks', async () => {
      await using repository = await open();
      const [one, two] = await Promise.all([repository.ensureOrg('acme'), repository.ensureOrg('acme')]);
      assert.deepEqual(one, two);
      assert.match(one.urlSuffix, /^[a-z0-9]{6}$/);
      assert.deepEqual(await repository.orgBySlug('acme'), one);
      assert.deepEqual(await repository.org(one.id), one);
      assert.equal(await repository.orgBySlug('other'), undefined);
      assert.equal(await repository.org('other'), undefined);
      assert.notEqual((await repository.ensureOrg('other')).urlSuffix, one.urlSuffix);
    });

    it('keeps tokens, revokes each once and notes their use at most once a minute', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const other = await repository.ensureOrg('other');
      const row = {
        id: 't1',
        orgId: org.id,
        secretHash: 'aa',
        description: 'x',
        createdAt: at(0),
        expiresAt: at(99),
        lastUsedAt: null,
        revokedAt: null,
      };
      await repository.insertToken(row);
      await repository.insertToken({ ...row, id: 't2', orgId: other.id, createdAt: at(1), expiresAt: null });
      assert.deepEqual(await repository.token('t1'), row);
      assert.equal(await repository.token('t3'), undefined);
      assert.deepEqual(
        (await repository.tokens()).map(({ id }) => id),
        ['t1', 't2'],
      );
      assert.deepEqual(
        (await repository.tokens(other.id)).map(({ id }) => id),
        ['t2'],
      );

      await repository.touchToken('t1', at(100));
      assert.equal((await repository.token('t1'))?.lastUsedAt, at(100));

      assert.equal(await repository.revokeToken('t1', at(200)), true);
      assert.equal(await repository.revokeToken('t1', at(300)), false);
      assert.equal(await repository.revokeToken('t3', at(300)), false);
      assert.equal((await repository.token('t1'))?.revokedAt, at(200));
    });

    it('returns a sprite as it was written', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const full: Omit<SpriteRow, 'uid'> = {
        ...plainSprite(org, 'full'),
        labels: ['a b', 'ü'],
        environment: { KEY: 'value with "quotes"\nand lines' },
        urlAuth: 'public',
        privateAccess: 'org_users',
        parentSpriteId: newSpriteId(),
        parentCheckpoint: 'v3',
        currentCheckpoint: 'v1',
        lastState: 'memory',
        reason: 'the VM died',
        lastRunningAt: at(5),
        lastWarmingAt: at(6),
        lastStart: { how: 'disk', at: at(4), duration_ms: 12.5, failures: [{ how: 'memory', reason: 'damaged' }] },
      };
      const inserted = await insertSprite(repository, full, 1000);
      assert.deepEqual(inserted, { ...full, uid: 1000 });
      assert.deepEqual(await repository.sprite(full.id), inserted);
      assert.deepEqual(await repository.spriteByName(org.id, 'full'), inserted);
      const plain = await insertSprite(repository, plainSprite(org, 'plain'), 1000);
      assert.deepEqual(await repository.sprite(plain.id), plain);
      assert.equal(await repository.sprite(newSpriteId()), undefined);
      assert.equal(await repository.spriteByName(org.id, 'none'), undefined);
    });

    it('refuses a name that is taken in the organization, and only there', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const other = await repository.ensureOrg('other');
      await insertSprite(repository, plainSprite(org, 'one'), 1000);
      await rejectsWith(insertSprite(repository, plainSprite(org, 'one'), 1000), 'name_taken');
      await assert.rejects(insertSprite(repository, plainSprite(org, 'one'), 1000), {
        message: nameTaken('one').message,
      });
      await insertSprite(repository, plainSprite(other, 'one'), 1000);
      const two = await insertSprite(repository, plainSprite(org, 'two'), 1000);
      await rejectsWith(repository.updateSprite(two.id, { name: 'one' }), 'name_taken');
      assert.equal((await repository.sprite(two.id))?.name, 'two');
    });

    it('gives the lowest free uid, never one twice', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const made = await Promise.all(
        ['a', 'b', 'c', 'd'].map((each) => insertSprite(repository, plainSprite(org, each), 500)),
      );
      assert.deepEqual(
        made.map(({ uid }) => uid).toSorted((a, b) => a - b),
        [500, 501, 502, 503],
      );
      const freed = made.filter(({ uid }) => uid === 500 || uid === 502);
      for (const { id } of freed) await repository.removeSprite(id);
      const uids = [];
      for (const each of ['e', 'f', 'g']) uids.push((await insertSprite(repository, plainSprite(org, each), 500)).uid);
      assert.deepEqual(uids, [500, 502, 504]);
      assert.equal((await insertSprite(repository, plainSprite(org, 'h'), 400)).uid, 400);
      assert.equal((await insertSprite(repository, plainSprite(org, 'i'), 503)).uid, 505);
    });

    it('inserts several sprites in one go, or none of them', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const wanted = ['c', 'a', 'b'].map((each) => plainSprite(org, each));
      const made = await repository.insertSprites(wanted, 500);
      assert.deepEqual(
        made,
        wanted.map((row, index) => ({ ...row, uid: 500 + index })),
      );
      assert.deepEqual(await repository.listSprites({ orgId: org.id, limit: 10 }), [made[1], made[2], made[0]]);
      assert.deepEqual(await repository.insertSprites([], 500), []);

      const taken = [plainSprite(org, 'd'), plainSprite(org, 'a'), plainSprite(org, 'e')];
      await rejectsWith(repository.insertSprites(taken, 500), 'name_taken');
      await rejectsWith(repository.insertSprites([plainSprite(org, 'd'), plainSprite(org, 'd')], 500), 'name_taken');
      assert.deepEqual(await repository.listSprites({ orgId: org.id, limit: 10 }), [made[1], made[2], made[0]]);
      assert.equal((await repository.countSprites(org.id)).new, 3);
      assert.equal((await insertSprite(repository, plainSprite(org, 'd'), 500)).uid, 503);
    });

    it('lists by name, after a name, with a prefix, of one organization', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const other = await repository.ensureOrg('other');
      for (const each of ['b', 'a-2', 'a-1', 'a', 'c']) await insertSprite(repository, plainSprite(org, each), 1000);
      await insertSprite(repository, plainSprite(other, 'a-9'), 1000);
      const names = async (query: { prefix?: string; after?: string; limit: number }): Promise<string[]> =>
        (await repository.listSprites({ orgId: org.id, ...query })).map((row) => row.name);
      assert.deepEqual(await names({ limit: 10 }), ['a', 'a-1', 'a-2', 'b', 'c']);
      assert.deepEqual(await names({ limit: 2 }), ['a', 'a-1']);
      assert.deepEqual(await names({ limit: 2, after: 'a-1' }), ['a-2', 'b']);
      assert.deepEqual(await names({ limit: 10, prefix: 'a-' }), ['a-1', 'a-2']);
      assert.deepEqual(await names({ limit: 10, prefix: 'a', after: 'a-1' }), ['a-2']);
      assert.deepEqual(await names({ limit: 10, prefix: '%' }), []);
      assert.deepEqual(await names({ limit: 10, prefix: '_' }), []);
      assert.deepEqual(await names({ limit: 10, prefix: '' }), ['a', 'a-1', 'a-2', 'b', 'c']);
    });

    it('counts sprites by state through every change', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const other = await repository.ensureOrg('other');
      const none = { new: 0, awake: 0, memory: 0, disk: 0, failed: 0 };
      assert.deepEqual(await repository.countSprites(org.id), none);
      const one = await insertSprite(repository, plainSprite(org, 'one'), 1000);
      await insertSprite(repository, plainSprite(org, 'two'), 1000);
      await insertSprite(repository, { ...plainSprite(other, 'one'), lastState: 'failed' }, 1000);
      await repository.updateSprite(one.id, { lastState: 'awake' });
      await repository.updateSprite(one.id, { lastState: 'awake', reason: 'again' });
      assert.deepEqual(await repository.countSprites(org.id), { ...none, new: 1, awake: 1 });
      assert.deepEqual(await repository.countSprites(), { ...none, new: 1, awake: 1, failed: 1 });
      await rejectsWith(insertSprite(repository, plainSprite(org, 'one'), 1000), 'name_taken');
      await repository.removeSprite(one.id);
      assert.deepEqual(await repository.countSprites(org.id), { ...none, new: 1 });
    });

    it('updates what is given and nothing else', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const row = await insertSprite(repository, { ...plainSprite(org, 'one'), reason: 'x', labels: ['l'] }, 1000);
      const updated = await repository.updateSprite(row.id, {
        reason: null,
        labels: [],
        environment: { A: 'b' },
        updatedAt: at(9),
        lastState: 'disk',
      });
      assert.deepEqual(updated, {
        ...row,
        reason: null,
        labels: [],
        environment: { A: 'b' },
        updatedAt: at(9),
        lastState: 'disk',
      });
      assert.deepEqual(await repository.sprite(row.id), updated);
      assert.deepEqual(await repository.updateSprite(row.id, {}), updated);
      await rejectsWith(repository.updateSprite(newSpriteId(), { reason: 'x' }), 'sprite_not_found');
      await rejectsWith(repository.updateSprite(newSpriteId(), {}), 'sprite_not_found');
    });

    it('never gives a counter value twice', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const { id } = await insertSprite(repository, plainSprite(org, 'one'), 1000);
      const taken = await Promise.all(Array.from({ length: 20 }, () => repository.takeCounter(id, 'nextSession')));
      assert.deepEqual(
        taken.toSorted((a, b) => a - b),
        Array.from({ length: 20 }, (_, index) => index + 1),
      );
      assert.equal(await repository.takeCounter(id, 'nextCheckpoint'), 0);
      assert.equal(await repository.takeCounter(id, 'nextCheckpoint', 5), 1);
      assert.equal(await repository.takeCounter(id, 'nextCheckpoint'), 6);
      assert.equal((await repository.sprite(id))?.nextSession, 21);
      await rejectsWith(repository.takeCounter(newSpriteId(), 'nextSession'), 'sprite_not_found');
    });

    it('finds all ids and all awake sprites', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const made = [];
      for (let index = 0; index < 12; index++)
        made.push(await insertSprite(repository, plainSprite(org, `s${index}`), 1000));
      await repository.updateSprite(made[3]?.id as SpriteId, { lastState: 'awake' });
      const ids = await Array.fromAsync(repository.spriteIds());
      assert.deepEqual(ids.toSorted(), made.map(({ id }) => id).toSorted());
      assert.deepEqual(
        (await repository.awakeSprites()).map(({ name: each }) => each),
        ['s3'],
      );
    });

    it('keeps checkpoints, newest first, and removes them with their sprite', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const { id } = await insertSprite(repository, plainSprite(org, 'one'), 1000);
      const { id: other } = await insertSprite(repository, plainSprite(org, 'two'), 1000);
      const first = checkpointOf(id, 'v0', { createdAt: at(50), comment: 'with "quotes"' });
      const auto = checkpointOf(id, 'auto-20260101-000000-ab12', {
        createdAt: at(10),
        isAuto: true,
        parent: 'v0',
        kind: 'disk',
        sizeBytes: 2 ** 40,
      });
      await repository.insertCheckpoint(first);
      await repository.insertCheckpoint(auto);
      await repository.insertCheckpoint(checkpointOf(other, 'v0'));
      assert.deepEqual(await repository.checkpoints(id), [auto, first]);
      assert.deepEqual(await repository.checkpoint(id, 'v0'), first);
      assert.equal(await repository.checkpoint(id, 'v1'), undefined);
      await repository.updateCheckpoint(id, 'v0', { damaged: true });
      await repository.updateCheckpoint(id, 'v0', {});
      assert.deepEqual(await repository.checkpoint(id, 'v0'), { ...first, damaged: true });
      await repository.removeCheckpoint(id, 'v0');
      assert.deepEqual(await repository.checkpoints(id), [auto]);
      await repository.removeSprite(id);
      assert.deepEqual(await repository.checkpoints(id), []);
      assert.equal((await repository.checkpoints(other)).length, 1);
      await assert.rejects(repository.insertCheckpoint(checkpointOf(id, 'v9')));
    });

    it('keeps each message once, earliest first, until it is removed', async () => {
      await using repository = await open();
      const row = {
        id: 'a',
        orgId: 'x',
        url: 'https://example.com',
        secret: 's',
        body: '{}',
        attempts: 0,
        nextAttemptAt: at(50),
      };
      await repository.insertDelivery(row);
      await repository.insertDelivery({ ...row, body: 'another' });
      const earlier = { ...row, id: 'b', orgId: 'y', nextAttemptAt: at(10) };
      await repository.insertDelivery(earlier);
      assert.deepEqual(await repository.nextDeliveries(2), [earlier, row]);
      assert.deepEqual(await repository.nextDeliveries(2, ['y']), [row]);
      assert.deepEqual(await repository.nextDeliveries(2, ['x', 'y']), []);
      await repository.updateDelivery('b', { attempts: 1, nextAttemptAt: at(90) });
      assert.deepEqual(await repository.nextDeliveries(1), [row]);
      await repository.removeDelivery('a');
      assert.deepEqual(await repository.nextDeliveries(2), [{ ...earlier, attempts: 1, nextAttemptAt: at(90) }]);
    });

    it('keeps one answer per key and organization, the last written, and drops old ones', async () => {
      await using repository = await open();
      const org = await repository.ensureOrg('acme');
      const other = await repository.ensureOrg('other');
      const row = { orgId: org.id, key: 'k', requestHash: 'h', status: 0, body: '', createdAt: at(0) };
      await repository.insertIdempotent(row);
      await repository.insertIdempotent({ ...row, orgId: other.id, createdAt: at(100) });
      await repository.insertIdempotent({ ...row, status: 201, body: '{}' });
      assert.deepEqual(await repository.idempotent(org.id, 'k'), { ...row, status: 201, body: '{}' });
      assert.equal(await repository.idempotent(org.id, 'none'), undefined);
      await repository.pruneIdempotent(at(50));
      assert.equal(await repository.idempotent(org.id, 'k'), undefined);
      assert.equal((await repository.idempotent(other.id, 'k'))?.requestHash, 'h');
    });
  });
}
