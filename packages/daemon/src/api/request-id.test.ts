import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiFixture, eventually } from './testing/fixture.ts';

describe('the id of a request', () => {
  it('is in every line it causes, once, and in no other', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const engine = api.logger.child({ sprite: 'one' });
    api.service.before = async (call) => {
      await sleep(2);
      engine.info({ call }, 'engine');
    };
    const body = { comment: 'x'.repeat(200_000) };
    await Promise.all([
      ...['a', 'b', 'c'].map((id) =>
        api.json('POST', '/v1/sprites/one/start', { headers: { 'x-request-id': id }, body: {} }),
      ),
      api.json('POST', '/v1/sprites/one/fork', { headers: { 'x-request-id': 'refused' }, body }),
      (async () => {
        const socket = api.socket('/v1/sprites/one/exec?cmd=cat', { 'x-request-id': 'socket' });
        await socket.opened;
        socket.raw.close();
        await socket.closed;
      })(),
    ]);
    engine.info('by itself');
    await eventually(() => api.log.some((line) => line.includes('exec socket closed')));
    for (const line of api.log) assert.ok(line.split('"reqId"').length <= 2, line);
    const lines = api.log.map((line): Record<string, string> => JSON.parse(line));
    const of = (text: string) =>
      lines
        .filter(({ msg, call }) => msg === text || call === text)
        .map((line) => String(line['reqId']))
        .toSorted((a, b) => a.localeCompare(b));
    assert.deepEqual(of('start one'), ['a', 'b', 'c']);
    assert.deepEqual(of('use one'), ['socket']);
    assert.deepEqual(of('exec socket closed'), ['socket']);
    assert.deepEqual(of('request'), ['a', 'b', 'c', 'refused']);
    assert.deepEqual(of('by itself'), ['undefined']);
  });
});
