import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SpriteRow } from '@sylph/engine';
import { ApiFixture } from './testing/fixture.ts';

/** A sprite whose row is in the database too: links and domains go with it. */
async function spriteWithRow(api: ApiFixture, name: string): Promise<SpriteRow> {
  await api.sprite(name);
  const row = [...api.service.rows.values()].find((each) => each.name === name) as SpriteRow;
  const { uid: _uid, ...rest } = row;
  await api.repository.insertSprites([rest], row.uid);
  return row;
}

describe('preview links', () => {
  it('are made, listed and revoked; the secret is told once and not kept', async () => {
    await using api = await ApiFixture.open();
    const row = await spriteWithRow(api, 'one');
    const made = await api.json('POST', '/v1/sprites/one/links', {
      body: { port: 3000, expires_in_s: 60, password: 'open sesame', description: 'for Ann' },
    });
    assert.equal(made.status, 201);
    const { id, url, expires_at: expiresAt } = made.body;
    const [, secret] =
      /^http:\/\/3000--one-[a-z0-9]+\.test\/\.sylph\/link\/[0-9a-f-]{36}\.([\w-]{43})$/.exec(url) ?? [];
    assert.ok(secret, url);
    assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 60_000) < 5_000);
    const stored = JSON.stringify(await api.repository.edge.links(row.id));
    assert.ok(!stored.includes(secret) && !stored.includes('sesame'), 'neither secret nor password is stored');

    const plain = await api.json('POST', '/v1/sprites/one/links');
    assert.equal(plain.status, 201);
    assert.match(plain.body.url, /^http:\/\/one-/);
    const endless = await api.json('POST', '/v1/sprites/one/links', { body: { expires_in_s: null } });
    assert.equal(endless.body.expires_at, null);

    const { body } = await api.json('GET', '/v1/sprites/one/links');
    assert.equal(body.links.length, 3);
    const listed = body.links.find((link: { id: string }) => link.id === id);
    const { url: _url, ...shown } = made.body;
    assert.deepEqual(listed, shown);
    assert.deepEqual([shown.has_password, shown.port, shown.description], [true, 3000, 'for Ann']);

    assert.equal((await api.json('DELETE', `/v1/sprites/one/links/${id}`)).status, 204);
    const again = await api.json('DELETE', `/v1/sprites/one/links/${id}`);
    assert.deepEqual([again.status, again.body.code], [404, 'link_not_found']);
    assert.equal((await api.json('GET', '/v1/sprites/one/links')).body.links.length, 2);
  });

  it('are refused when they do not fit, are too many, or of another sprite', async () => {
    await using api = await ApiFixture.open();
    await spriteWithRow(api, 'one');
    await spriteWithRow(api, 'two');
    for (const body of [{ port: 0 }, { port: 65_536 }, { expires_in_s: 1 }, { password: '' }, { extra: 1 }]) {
      const answer = await api.json('POST', '/v1/sprites/one/links', { body });
      assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], JSON.stringify(body));
    }
    assert.deepEqual((await api.json('GET', '/v1/sprites/one/links')).body.links, [], 'nothing was made');
    assert.equal((await api.json('POST', '/v1/sprites/none/links')).status, 404);
    const { body } = await api.json('POST', '/v1/sprites/one/links');
    assert.equal((await api.json('DELETE', `/v1/sprites/two/links/${body.id}`)).status, 404);
    for (let count = 1; count < 100; count++) await api.json('POST', '/v1/sprites/one/links');
    const full = await api.json('POST', '/v1/sprites/one/links');
    assert.deepEqual([full.status, full.body.code], [409, 'limit_reached']);
  });
});

describe('domains', () => {
  it('lead to one sprite each, and not into the domain of sprites', async () => {
    await using api = await ApiFixture.open();
    await spriteWithRow(api, 'one');
    await spriteWithRow(api, 'two');
    const added = await api.json('POST', '/v1/sprites/one/domains', { body: { domain: 'app.example.com' } });
    assert.deepEqual([added.status, added.body.domain], [201, 'app.example.com']);
    const taken = await api.json('POST', '/v1/sprites/two/domains', { body: { domain: 'app.example.com' } });
    assert.deepEqual([taken.status, taken.body.code], [409, 'domain_taken']);
    for (const domain of ['App.example.com', 'example', '1.2.3.4', 'a..b', 'login.test', 'x-y.test', '', 'a b.c']) {
      const answer = await api.json('POST', '/v1/sprites/one/domains', { body: { domain } });
      assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], domain);
    }
    assert.deepEqual(
      (await api.json('GET', '/v1/sprites/one/domains')).body.domains.map(({ domain }: { domain: string }) => domain),
      ['app.example.com'],
    );
    assert.equal((await api.json('DELETE', '/v1/sprites/two/domains/app.example.com')).status, 404);
    assert.equal((await api.json('DELETE', '/v1/sprites/one/domains/app.example.com')).status, 204);
    assert.deepEqual((await api.json('GET', '/v1/sprites/one/domains')).body.domains, []);
  });
});
