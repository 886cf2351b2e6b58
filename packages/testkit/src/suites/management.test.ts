// The unmodified npm SDK against the daemon: management of sprites.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';

checkLeaks(() => daemon[Symbol.asyncDispose]());

let daemon: TestDaemon;
let api: Api;
before(async () => {
  daemon = await TestDaemon.start();
  api = new Api(daemon);
});

test('create, get, update, list, delete through the SDK', async () => {
  const made = await api.sdk.createSprite('alpha', { labels: ['a'] });
  assert.equal(made.name, 'alpha');
  assert.match(made.id ?? '', /^sprite-/);
  const got = await api.sdk.getSprite('alpha');
  assert.deepEqual([got.status, got.organizationName, got.labels], ['cold', 'main', ['a']]);
  const updated = await api.sdk.updateSprite('alpha', { labels: ['b', 'c'], urlSettings: { auth: 'public' } });
  assert.deepEqual(updated.labels, ['b', 'c']);
  await assert.rejects(api.sdk.createSprite('alpha'), /already exists/);
  await api.sdk.createSprite('beta');
  assert.deepEqual(
    (await api.sdk.listAllSprites()).map(({ name }) => name),
    ['alpha', 'beta'],
  );
  assert.deepEqual(
    (await api.sdk.listAllSprites('be')).map(({ name }) => name),
    ['beta'],
  );
  const page = await api.sdk.listSprites({ maxResults: 1 });
  assert.equal(page.hasMore, true);
  assert.ok(page.nextContinuationToken);
  await api.sdk.deleteSprite('beta');
  await assert.rejects(api.sdk.getSprite('beta'));
  assert.equal((await api.call('GET', '/v1/sprites/beta')).status, 404);
});

test('restart boots afresh and keeps the disk, upgrade too, check asks the agent', async () => {
  await api.create('r');
  await api.text('r', 'echo disk > file; sync; echo memory > /dev/shm/file');
  const result = await api.sdk.restartSprite('r');
  assert.ok(result);
  assert.equal(await api.text('r', 'cat file; cat /dev/shm/file 2>/dev/null || echo gone'), 'disk\ngone');
  await api.sdk.upgradeSprite('r');
  assert.equal(await api.text('r', 'cat file'), 'disk');
  const check = await api.ok('GET', '/v1/sprites/r/check');
  assert.equal(check.status, 'running');
  const host = await api.ok('GET', '/v1/host');
  assert.ok(['kvm', 'tcg'].includes(host.accelerator.kind));
  assert.equal((await api.call('GET', '/v1/sprites/r/control')).status, 404);
});

test('sizes can be chosen and are what the guest sees', async () => {
  await api.ok('POST', '/v1/sprites', { name: 'small', config: { cpus: 1, ram_mb: 384, storage_gb: 4 } });
  const [cpus, kilobytes, disk] = (
    await api.text('small', "nproc; awk '/MemTotal/ {print $2}' /proc/meminfo; df --output=size -BG / | tail -1")
  ).split('\n');
  assert.equal(cpus, '1');
  assert.ok(Number(kilobytes) < 384 * 1024 && Number(kilobytes) > 250 * 1024, String(kilobytes));
  assert.equal(disk?.trim(), '4G');
  for (const config of [
    { ram_mb: 100_000_000 },
    { cpus: 64 },
    { storage_gb: 16_384 },
    { ram_mb: 1 },
    { cpus: 'two' },
  ]) {
    const refused = await api.call('POST', '/v1/sprites', { name: 'large', config });
    assert.equal(refused.status, 400, JSON.stringify(config));
    assert.ok(refused.body.message);
  }
  assert.equal((await api.call('GET', '/v1/sprites/large')).status, 404);
});
