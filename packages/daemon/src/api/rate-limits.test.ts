import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SpritesClient, APIError } from '@fly/sprites';
import { SylphError } from '@sylph/model';
import { createToken } from '../auth/tokens.ts';
import { ApiFixture } from './testing/fixture.ts';

describe('rate limits', () => {
  it('count the requests of a token, tell what is left, and refuse with a time to come back', async () => {
    await using api = await ApiFixture.open({ limits: { requestsPerMinute: 3 } });
    for (const left of ['2', '1', '0']) {
      const { status, headers } = await api.json('GET', '/v1/sprites');
      assert.deepEqual(
        [status, headers.get('x-ratelimit-remaining'), headers.get('x-ratelimit-limit')],
        [200, left, '3'],
      );
      const resetInS = Number(headers.get('x-ratelimit-reset')) - Date.now() / 1000;
      assert.ok(resetInS > 0 && resetInS < 62, `${resetInS}`);
    }
    const { status, body, headers } = await api.json('GET', '/v1/sprites/none');
    assert.deepEqual([status, body.code, body.error, body.retryable], [429, 'rate_limited', 'rate_limited', true]);
    assert.deepEqual([body.limit, body.window_seconds, body.current_count], [3, 60, 4]);
    assert.equal(headers.get('retry-after'), String(body.retry_after_seconds));
    assert.equal(headers.get('x-ratelimit-remaining'), '0');
    const { status: refused } = await api.socket('/v1/sprites/one/exec?cmd=x').opened;
    assert.equal(refused, 429, 'sockets too');
    const other = await createToken(api.repository, { org: 'acme', description: '', expiresAt: null });
    assert.equal(
      (await api.request('GET', '/v1/sprites', { headers: { authorization: `Bearer ${other}` } })).status,
      200,
      'another token has its own',
    );
    assert.equal((await fetch(`${api.url}/healthz`)).status, 200);
  });

  it('count the sprites an organization makes, forks included, all or none', async () => {
    await using api = await ApiFixture.open({ limits: { creationsPerMinute: 4 } });
    const client = new SpritesClient(api.token, { baseURL: api.url });
    await client.createSprite('one');
    const refused = await api.json('POST', '/v1/sprites/one/fork', { body: { name: 'many', count: 4 } });
    assert.deepEqual([refused.status, refused.body.error], [429, 'sprite_creation_rate_limited']);
    assert.equal((await api.json('POST', '/v1/sprites/one/fork', { body: { name: 'few', count: 3 } })).status, 201);
    await assert.rejects(
      client.createSprite('two'),
      (error) =>
        error instanceof APIError &&
        error.errorCode === 'sprite_creation_rate_limited' &&
        error.limit === 4 &&
        error.windowSeconds === 60 &&
        (error.retryAfterSeconds ?? 0) > 0,
    );
    assert.equal((await api.json('GET', '/v1/sprites')).body.sprites.length, 4);
  });

  it('tell of too many awake sprites what existing clients read', async () => {
    await using api = await ApiFixture.open({ limits: { maxAwake: 3 } });
    await api.service.create(api.org, { name: 'one' });
    api.service.before = (call) => {
      if (call.startsWith('use') || call.startsWith('start'))
        throw new SylphError('too_many_sprites', '3 sprites are awake', { context: { limit: 3, currentCount: 4 } });
    };
    for (const [method, path] of [
      ['POST', '/v1/sprites/one/start'],
      ['POST', '/v1/sprites/one/exec?cmd=true'],
    ] as const) {
      const { status, body, headers } = await api.json(method, path);
      const { error, limit, current_count: current, retry_after_seconds: retryAfterS, upgrade_available: more } = body;
      assert.deepEqual(
        [status, body.code, error, limit, current, more],
        [429, 'too_many_sprites', 'concurrent_sprite_limit_exceeded', 3, 4, false],
      );
      assert.ok(retryAfterS > 0);
      assert.equal(headers.get('retry-after'), String(retryAfterS));
    }
    const list = await api.json('GET', '/v1/sprites');
    assert.deepEqual([list.body.running_limit, list.body.org.running_limit, list.body.warm_limit], [3, 3, 0]);
    const client = new SpritesClient(api.token, { baseURL: api.url });
    await assert.rejects(
      client.sprite('one').execFileHTTP('true'),
      (error) => error instanceof APIError && error.limit === 3 && error.currentCount === 4,
    );
    const watch = await api.request('GET', '/v1/sprites', { headers: { accept: 'application/x-ndjson' } });
    const reader = watch.body?.getReader();
    const [line = ''] = Buffer.from((await reader?.read())?.value ?? [])
      .toString()
      .split('\n');
    assert.equal(JSON.parse(line).org.running_limit, 3);
    await reader?.cancel();
  });

  it('are off at 0', async () => {
    await using api = await ApiFixture.open({ limits: { requestsPerMinute: 0, creationsPerMinute: 0 } });
    const { headers } = await api.json('GET', '/v1/sprites');
    assert.equal(headers.get('x-ratelimit-limit'), null);
  });
});
