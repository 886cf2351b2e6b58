import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiFixture } from '../api/testing/fixture.ts';
import { authenticate, createToken } from './tokens.ts';

const future = (): string => new Date(Date.now() + 60_000).toISOString();

describe('tokens', () => {
  it('name their organization and are stored as a hash only', async () => {
    await using api = await ApiFixture.open();
    const text = await createToken(api.repository, { org: 'acme', description: 'ci', expiresAt: future() });
    const [slug, orgId, tokenId = '', secret = ''] = text.split('/');
    assert.deepEqual([slug, orgId], ['acme', api.org.id]);
    assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
    const row = await api.repository.token(tokenId);
    assert.equal(row?.description, 'ci');
    assert.ok(!JSON.stringify(row).includes(secret));
    assert.deepEqual(await authenticate(api.repository, text), { org: api.org, tokenId });
    assert.ok((await api.repository.token(tokenId))?.lastUsedAt);
    await assert.rejects(createToken(api.repository, { org: 'Not OK', description: '', expiresAt: null }));
  });

  it('are refused when any part is wrong, expired or revoked', async () => {
    await using api = await ApiFixture.open();
    const text = await createToken(api.repository, { org: 'acme', description: '', expiresAt: future() });
    const other = await createToken(api.repository, { org: 'other', description: '', expiresAt: null });
    const expired = await createToken(api.repository, {
      org: 'acme',
      description: '',
      expiresAt: new Date(Date.now() - 1).toISOString(),
    });
    const parts = text.split('/');
    const otherParts = other.split('/');
    const bad = [
      '',
      '/',
      '///',
      'x',
      text.slice(0, -1),
      `${text}x`,
      `${text}/`,
      expired,
      'x'.repeat(100_000),
      ...parts.map((_, index) => parts.with(index, otherParts[index] as string).join('/')),
      ...parts.map((_, index) => parts.with(index, '').join('/')),
    ];
    for (const each of bad) assert.equal(await authenticate(api.repository, each), undefined, each.slice(0, 80));
    await api.repository.revokeToken(parts[2] as string, new Date().toISOString());
    assert.equal(await authenticate(api.repository, text), undefined);
  });

  it('remember their last use to the minute', async () => {
    await using api = await ApiFixture.open();
    const text = await createToken(api.repository, { org: 'acme', description: '', expiresAt: null });
    const id = text.split('/')[2] as string;
    const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();
    for (const [last, kept] of [
      [ago(30_000), true],
      [ago(61_000), false],
    ] as const) {
      await api.repository.touchToken(id, last);
      await authenticate(api.repository, text);
      assert.equal((await api.repository.token(id))?.lastUsedAt === last, kept);
    }
  });

  it('guard every route but the health and the document', async () => {
    await using api = await ApiFixture.open();
    const text = api.token;
    for (const authorization of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      `Basic ${text}`,
      text,
      `Bearer ${text}x`,
      `Bearer ${text} extra`,
    ]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      for (const path of ['/v1/sprites', '/v1/sprites/one', '/v1/host', '/v1/sprites/one/exec']) {
        const response = await fetch(`${api.url}${path}`, { headers });
        assert.equal(response.status, 401, `${authorization} ${path}`);
        const body = (await response.json()) as Record<string, unknown>;
        assert.deepEqual(
          [body['error'], body['message'], body['code'], body['retryable']],
          ['authentication failed', 'authentication failed', 'unauthenticated', false],
        );
        assert.ok(body['hint']);
      }
      const exec = await fetch(`${api.url}/v1/sprites/one/exec?cmd=ls`, { method: 'POST', headers, body: 'x' });
      assert.equal(exec.status, 401);
    }
    const socket = api.socket('/v1/sprites/one/exec?cmd=ls', { authorization: 'Bearer x' });
    const { status, body } = await socket.opened;
    assert.deepEqual([status, body.error], [401, 'authentication failed']);
    assert.deepEqual(api.service.calls, []);
    for (const path of ['/healthz', '/openapi.json']) assert.equal((await fetch(`${api.url}${path}`)).status, 200);
    for (const scheme of ['bearer', 'BEARER', 'Bearer '])
      assert.equal(
        (await api.json('GET', '/v1/sprites', { headers: { authorization: `${scheme} ${text}` } })).status,
        200,
      );
  });
});
