import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SpritesClient, APIError } from '@fly/sprites';
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

  it('are off at 0', async () => {
    await using api = await ApiFixture.open({ limits: { requestsPerMinute: 0, creationsPerMinute: 0 } });
    const { headers } = await api.json('GET', '/v1/sprites');
    assert.equal(headers.get('x-ratelimit-limit'), null);
  });
});
