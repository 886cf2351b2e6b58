import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createToken } from '../auth/tokens.ts';
import { ApiFixture, eventually, stdin } from './testing/fixture.ts';

const exec = '/v1/sprites/one/exec';
const ndjson = 'application/x-ndjson';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A fixture with an awake sprite, another token of the organization, and how often tokens were read. */
async function open(
  expiresAt: string | null = null,
): Promise<{ api: ApiFixture; authorization: string; tokenId: string; reads: string[] }> {
  const api = await ApiFixture.open({ limits: { tokenCheckIntervalMs: 50, closeTimeoutMs: 300 } });
  await api.sprite();
  const token = await createToken(api.repository, { org: 'acme', description: '', expiresAt });
  const reads: string[] = [];
  const read = api.repository.token.bind(api.repository);
  api.repository.token = (id) => {
    reads.push(id);
    return read(id);
  };
  return { api, authorization: `Bearer ${token}`, tokenId: token.split('/')[2] as string, reads };
}

describe('a token that is revoked', () => {
  it('ends its sockets with 1008 and cuts its streams; sessions and other tokens’ clients go on', async () => {
    const { api, authorization, tokenId } = await open();
    await using _api = api;
    const socket = api.socket(`${exec}?cmd=cat&stdin=true`, { authorization });
    await socket.until((messages) => messages.length === 1);
    const other = api.socket(`${exec}/1`);
    await other.until((messages) => messages.length === 1);
    const watch = await api.request('GET', '/v1/sprites', { headers: { accept: ndjson, authorization } });
    const http = await api.request('POST', `${exec}?cmd=sleep`, { headers: { authorization } });
    const otherWatch = await api.request('GET', '/v1/sprites', { headers: { accept: ndjson } });
    await api.repository.revokeToken(tokenId, new Date().toISOString());
    assert.deepEqual(await socket.closed, { code: 1008, reason: 'the token is no longer valid' });
    await assert.rejects(watch.text());
    await assert.rejects(http.arrayBuffer());
    const session = api.service.sessions.get('1');
    session?.print('on');
    await other.until((messages) => messages.length === 2);
    assert.equal(session?.end, undefined);
    const stillOpen = otherWatch.text().then(
      () => 'ended',
      () => 'cut',
    );
    assert.equal(await Promise.race([stillOpen, pause(200).then(() => 'open')]), 'open');
  });

  it('hears nothing more of a client that does not leave', async () => {
    const { api, authorization, tokenId } = await open();
    await using _api = api;
    const socket = api.socket(`${exec}?cmd=cat&stdin=true`, { authorization });
    await socket.until((messages) => messages.length === 1);
    const session = api.service.sessions.get('1');
    socket.send(stdin('before'));
    await eventually(() => session?.received.length === 1);
    // It does not read, so it does not answer the goodbye.
    socket.raw.pause();
    await api.repository.revokeToken(tokenId, new Date().toISOString());
    await eventually(() => api.log.some((line) => line.includes('no longer valid')));
    socket.send(stdin('after'));
    await eventually(() => session?.clients === 0);
    assert.deepEqual(session?.received, ['before']);
    socket.raw.terminate();
  });
});

describe('a token that expires', () => {
  it('ends what is open with it', async () => {
    const { api, authorization } = await open(new Date(Date.now() + 1_000).toISOString());
    await using _api = api;
    const socket = api.socket(`${exec}?cmd=sleep`, { authorization });
    await socket.until((messages) => messages.length === 1);
    assert.equal((await socket.closed).code, 1008);
  });
});

describe('watching tokens', () => {
  it('asks once per token, and not at all while nothing is open', async () => {
    const { api, reads } = await open();
    await using _api = api;
    const sockets = Array.from({ length: 5 }, () => api.socket(`${exec}?cmd=sleep`));
    await Promise.all(sockets.map((socket) => socket.until((messages) => messages.length === 1)));
    reads.length = 0;
    await pause(500);
    assert.ok(reads.length >= 1 && reads.length <= 11, `${reads.length} reads`);
    for (const socket of sockets) socket.raw.terminate();
    await eventually(() => [...api.service.sessions.values()].every(({ clients }) => clients === 0));
    await pause(100);
    reads.length = 0;
    await pause(200);
    assert.equal(reads.length, 0);
  });

  it('goes on when tokens cannot be read for a while', async () => {
    const { api, authorization, tokenId } = await open();
    await using _api = api;
    const socket = api.socket(`${exec}?cmd=sleep`, { authorization });
    await socket.until((messages) => messages.length === 1);
    const read = api.repository.token.bind(api.repository);
    api.repository.token = () => Promise.reject(new Error('the disk is gone'));
    await eventually(() => api.log.some((line) => line.includes('cannot be told')));
    assert.equal(socket.raw.readyState, socket.raw.OPEN);
    api.repository.token = read;
    await api.repository.revokeToken(tokenId, new Date().toISOString());
    assert.equal((await socket.closed).code, 1008);
  });
});
