import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ApiFixture, eventually, type Json } from './testing/fixture.ts';

const sprite = '/v1/sprites/one';

async function open(): Promise<ApiFixture> {
  const api = await ApiFixture.open();
  await api.sprite();
  return api;
}

describe('checkpoints', () => {
  it('are created with the lines scripts look for', async () => {
    await using api = await open();
    const response = await api.request('POST', `${sprite}/checkpoint`, { body: { comment: 'before' } });
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
    const lines = (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ type, data }) => [type, data]),
      [
        ['info', 'Creating checkpoint...'],
        ['info', 'Checkpoint created successfully'],
        ['info', '\nCheckpoint Details:'],
        ['info', '  ID: v0'],
        ['info', '  Created: 2026-01-31 12:20:24'],
        ['info', '  Path: checkpoints/v0'],
        ['info', '\nTo restore this checkpoint:'],
        ['info', '  sprite checkpoint restore v0'],
        ['info', '  curl -X POST /checkpoints/v0/restore'],
        ['complete', 'Checkpoint v0 created successfully'],
      ],
    );
    assert.ok(lines.every(({ time }) => !Number.isNaN(Date.parse(time))));
    assert.equal(api.service.made[0]?.comment, 'before');
    const second = await api.lines('POST', `${sprite}/checkpoint`);
    assert.equal(second.lines.at(-1).data, 'Checkpoint v1 created successfully');
  });

  it('are heard of at once, told as they proceed, and finished when the client leaves', async () => {
    await using api = await open();
    const gate = Promise.withResolvers<void>();
    api.service.before = (call) => (call.startsWith('checkpoint') ? gate.promise : undefined);
    const abort = new AbortController();
    const response = await fetch(`${api.url}${sprite}/checkpoint`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}` },
      signal: abort.signal,
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    assert.match(Buffer.from((await reader.read()).value as Uint8Array).toString(), /Creating checkpoint/);
    abort.abort();
    gate.resolve();
    await eventually(() => api.service.made.length === 1);
  });

  it('are made once per key', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const make = async (comment: string): Promise<string> => {
      const answer = await api.request('POST', '/v1/sprites/one/checkpoint', {
        headers: { 'idempotency-key': 'nightly' },
        body: { comment },
      });
      return answer.text();
    };
    const [first, second] = await Promise.all([make('a'), make('a')]);
    for (const text of [first, second, await make('a')]) assert.match(text, /Checkpoint v0 created successfully/);
    assert.equal(api.service.made.length, 1);
    const path = '/v1/sprites/one/checkpoint';
    const other = await api.json('POST', path, { headers: { 'idempotency-key': 'nightly' }, body: { comment: 'b' } });
    assert.deepEqual([other.status, other.body.code], [409, 'idempotency_mismatch']);
    const malformed = await api.json('POST', path, { headers: { 'idempotency-key': 'a b' } });
    assert.deepEqual([malformed.status, malformed.body.code], [400, 'invalid_request']);
    // Also while the first is under way.
    const gate = Promise.withResolvers<void>();
    api.service.before = (call) => (call.startsWith('checkpoint') ? gate.promise : undefined);
    const headers = { 'idempotency-key': 'weekly' };
    const slow = api.request('POST', path, { headers, body: { comment: 'c' } });
    await slow;
    const early = await api.json('POST', path, { headers, body: { comment: 'd' } });
    assert.deepEqual([early.status, early.body.code], [409, 'idempotency_mismatch']);
    gate.resolve();
    assert.match(await (await slow).text(), /Checkpoint v1 created successfully/);
  });

  it('that fail say so in the last line', async () => {
    await using api = await open();
    const failWith = async (failure: Error) => {
      api.service.before = (call) => {
        if (call.startsWith('checkpoint')) throw failure;
      };
      return (await api.lines('POST', `${sprite}/checkpoint`)).lines;
    };
    const full = await failWith(new SylphError('pool_full', 'the pool is full', { hint: 'Delete some.' }));
    assert.deepEqual(
      { ...full.at(-1), time: '' },
      {
        type: 'error',
        error: 'Failed to create checkpoint: the pool is full',
        code: 'pool_full',
        hint: 'Delete some.',
        time: '',
      },
    );
    const internal = await failWith(new Error('secret detail'));
    assert.doesNotMatch(JSON.stringify(internal), /secret detail/);
    assert.ok(api.log.some((line) => line.includes('secret detail')));
  });

  it('are listed newest first below the present, without automatic ones unless asked for', async () => {
    await using api = await open();
    assert.deepEqual(
      (await api.json('GET', `${sprite}/checkpoints`)).body.map(({ id }: Json) => id),
      ['Current'],
    );
    for (let index = 0; index < 3; index++) await api.lines('POST', `${sprite}/checkpoint`, { body: {} });
    const auto = {
      ...api.service.made[0]!,
      id: 'auto-20260131-122024-ab12',
      is_auto: true,
      history: ['v0'],
      source_id: 'v0',
    };
    api.service.made.unshift(auto);
    const { body } = await api.json('GET', `${sprite}/checkpoints`);
    assert.deepEqual(
      body.map(({ id }: Json) => id),
      ['Current', 'v2', 'v1', 'v0'],
    );
    assert.deepEqual(
      { ...body[0], create_time: '' },
      {
        id: 'Current',
        create_time: '',
        comment: '',
        history: ['v2', 'v1'],
        is_auto: false,
        source_id: 'v2',
        health: '',
        kind: 'memory',
        size_bytes: 0,
      },
    );
    assert.deepEqual(body[3], {
      id: 'v0',
      create_time: '2026-01-31T12:20:24.123Z',
      comment: '',
      history: [],
      is_auto: false,
      source_id: null,
      health: '',
      kind: 'memory',
      size_bytes: 4096,
    });
    const ids = async (query: string) =>
      (await api.json('GET', `${sprite}/checkpoints?${query}`)).body.map(({ id }: Json) => id);
    assert.deepEqual(await ids('includeAuto=true'), ['Current', auto.id, 'v2', 'v1', 'v0']);
    assert.deepEqual(await ids('includeAuto=false'), ['Current', 'v2', 'v1', 'v0']);
    assert.deepEqual(await ids('history=v0&includeAuto=true'), [auto.id, 'v1', 'v0']);
    assert.equal((await api.json('GET', `${sprite}/checkpoints?history=v9`)).status, 404);
    assert.equal((await api.json('GET', `${sprite}/checkpoints?includeAuto=perhaps`)).status, 400);
  });

  it('are got and deleted, but not the one the present stands on', async () => {
    await using api = await open();
    for (let index = 0; index < 2; index++) await api.lines('POST', `${sprite}/checkpoint`);
    assert.equal((await api.json('GET', `${sprite}/checkpoints/v0`)).body.id, 'v0');
    assert.equal((await api.json('GET', `${sprite}/checkpoints/Current`)).body.source_id, 'v1');
    for (const id of ['v9', 'v00', 'x', '..%2fv0', 'auto-1']) {
      for (const method of ['GET', 'DELETE']) {
        const { status, body } = await api.json(method, `${sprite}/checkpoints/${id}`);
        assert.deepEqual([status, body.code], [404, 'checkpoint_not_found'], `${method} ${id}`);
      }
    }
    assert.equal((await api.json('DELETE', `${sprite}/checkpoints/v1`)).body.code, 'checkpoint_in_use');
    assert.equal((await api.json('DELETE', `${sprite}/checkpoints/Current`)).status, 409);
    assert.equal((await api.json('DELETE', `${sprite}/checkpoints/v0`)).status, 204);
    assert.equal(api.service.made.length, 1);
  });

  it('are restored with the lines clients know', async () => {
    await using api = await open();
    await api.lines('POST', `${sprite}/checkpoint`);
    const { status, lines } = await api.lines('POST', `${sprite}/checkpoints/v0/restore`);
    assert.equal(status, 200);
    assert.deepEqual(
      lines.map(({ type, data }) => [type, data]),
      [
        ['info', 'Restoring from checkpoint v0...'],
        ['info', 'Saving the present'],
        ['info', 'What was there before is kept as auto-20260131-122024-ab12'],
        ['info', 'Container components started successfully'],
        ['complete', 'Restore from v0 complete'],
      ],
    );
    await api.lines('POST', `${sprite}/checkpoints/v0/restore`, { body: { mode: 'disk' } });
    assert.ok(api.service.calls.includes('restore one v0 disk'));
    assert.equal((await api.json('POST', `${sprite}/checkpoints/v0/restore`, { body: { mode: 'other' } })).status, 400);
    assert.equal((await api.json('POST', `${sprite}/checkpoints/v0/restore`, { body: { mod: 'disk' } })).status, 400);
  });

  it('answer a restore of an unknown one with 200 and an error line', async () => {
    await using api = await open();
    for (const id of ['v9', 'nonsense', '..%2f..']) {
      const { status, lines } = await api.lines('POST', `${sprite}/checkpoints/${id}/restore`);
      assert.equal(status, 200);
      assert.deepEqual(
        lines.map(({ type }) => type),
        ['info', 'error'],
      );
      assert.match(lines[1].error, /^Failed to restore checkpoint: checkpoint not found/);
      assert.equal(lines[1].code, 'checkpoint_not_found');
    }
  });
});
