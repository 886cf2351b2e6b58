import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SylphClient } from './node/client.ts';
import { FakeServer } from './testing/index.ts';

test('a watch tells states and changes, also those it missed while its connection was broken', async () => {
  await using server = await FakeServer.start();
  for (const name of ['a', 'b', 'other']) server.addSprite(name.length === 1 ? `s-${name}` : name);
  const client = new SylphClient({ baseUrl: server.url, token: server.token });
  const told: string[] = [];
  const ends = new AbortController();
  const reason = new Error('enough');
  const watching = (async () => {
    for await (const { name, type, status } of client.sprites.watch({ prefix: 's-', signal: ends.signal })) {
      told.push(type === 'heartbeat' ? type : `${name} ${type ?? status}`);
      if (told.length === 3) server.sprites.get('s-a')!['status'] = 'running';
      if (told.length === 4) {
        server.drop();
        server.sprites.delete('s-b');
        server.addSprite('s-c');
      }
      if (told.length === 8) ends.abort(reason);
    }
  })();
  await assert.rejects(watching, reason);
  assert.deepEqual(told, [
    's-a cold',
    's-b cold',
    'heartbeat',
    's-a running',
    's-a running',
    's-c cold',
    's-b deleted',
    'heartbeat',
  ]);
});

test('a watch that cannot begin, or that nobody answers any more, ends', async () => {
  const lonely = new SylphClient({ baseUrl: 'http://127.0.0.1:1', token: 'x' });
  await assert.rejects(lonely.sprites.watch().next(), { code: 'connection_failed' });
  const server = await FakeServer.start();
  const client = new SylphClient({ baseUrl: server.url, token: server.token, resumeAttempts: 1 });
  const watch = client.sprites.watch();
  assert.equal((await watch.next()).value?.type, 'heartbeat');
  await server[Symbol.asyncDispose]();
  await assert.rejects(watch.next(), { code: 'connection_failed' });
});
