import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { watchSubscribe } from '@sylph/model';
import fc from 'fast-check';
import { useAgentApi } from '../testing/agent-api.ts';
import type { AgentService } from '../testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from '../testing/fixture.ts';

const watch = '/v1/sprites/one/fs/watch';

/** A subscription, or nearly one. No path leads up to where there is much to watch. */
const nearly = fc.record(
  {
    type: fc.oneof({ weight: 4, arbitrary: fc.constant('subscribe') }, fc.jsonValue()),
    paths: fc.oneof(
      {
        weight: 4,
        arbitrary: fc.array(
          fc.oneof(fc.constantFrom('.', 'none', 'file', 'a\0b', 'x'.repeat(300)), fc.stringMatching(/^[^/.]{0,20}$/)),
          { maxLength: 4 },
        ),
      },
      fc.jsonValue(),
    ),
    recursive: fc.oneof(fc.boolean(), fc.constant(null), fc.jsonValue()),
    asRoot: fc.oneof(fc.boolean(), fc.jsonValue()),
    surprise: fc.jsonValue(),
  },
  { requiredKeys: ['type', 'paths'] },
);
const message = fc.oneof(
  { weight: 3, arbitrary: nearly },
  fc.string().map((text) => Buffer.from(text).toString()),
  fc.json(),
  fc.uint8Array({ maxLength: 64 }),
);

describe('messages of a client that watches files', () => {
  let api: ApiFixture<AgentService>;
  let dir: string;

  useAgentApi(
    async (opened) => {
      api = opened;
      await api.sprite();
      dir = await mkdtemp(join(api.service.home, 'watch-'));
      await writeFile(join(dir, 'file'), '');
    },
    { limits: { closeTimeoutMs: 200 } },
  );

  it('are each answered, or ignored where they are binary, whatever is in them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 16 }), async (messages) => {
        const socket = api.socket(watch);
        await once(socket.raw, 'open');
        let answers = 0;
        let subscribed = 0;
        for (const each of messages) {
          if (each instanceof Uint8Array) {
            socket.raw.send(each);
            continue;
          }
          const value = typeof each === 'string' ? each : JSON.stringify({ ...each, workingDir: dir });
          socket.raw.send(value);
          answers += 1;
          if (typeof each !== 'string' && watchSubscribe.safeParse({ ...each, workingDir: dir }).success)
            subscribed += 1;
        }
        const got = await socket.until((all) => all.length >= answers);
        assert.equal(got.length, answers);
        for (const each of got as Json[]) {
          assert.ok(each.type === 'subscribed' || each.type === 'error', JSON.stringify(each));
          if (each.type === 'error')
            assert.ok(each.message && each.code && each.code !== 'internal', JSON.stringify(each));
        }
        assert.ok((got as Json[]).filter(({ type }) => type === 'subscribed').length <= subscribed);
        assert.equal(socket.raw.readyState, socket.raw.OPEN);
        socket.raw.close();
        assert.equal((await socket.closed).code, 1005);
      }),
      { numRuns: 60 },
    );
    await eventually(() => api.service.leases === 0);
    assert.equal((await api.json('GET', `/v1/sprites/one/fs/list?path=${dir}`)).body.count, 1);
  });

  it('beyond the sixteenth are refused, and what was subscribed before goes on', async () => {
    const socket = api.socket(watch);
    await once(socket.raw, 'open');
    socket.send({ type: 'subscribe', paths: ['.'], workingDir: dir });
    await socket.until((all) => all.length === 1);
    for (let count = 0; count < 20; count++) socket.send('{}');
    const all = (await socket.until((got) => got.length === 21)) as Json[];
    assert.equal(all.filter(({ message: said }) => said === 'at most 16 subscriptions').length, 5);
    await writeFile(join(dir, 'file'), 'changed');
    await socket.until((got) => (got as Json[]).some(({ type }) => type === 'event'));
    socket.raw.close();
    await socket.closed;
  });
});
