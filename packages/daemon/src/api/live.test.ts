import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { ApiFixture, eventually } from './testing/fixture.ts';

const exec = '/v1/sprites/one/exec';
const count = 20;
const maxStreams = 3;

/** A fixture whose sprite answers nobody until `go`. */
async function held(): Promise<{ api: ApiFixture; go: () => void }> {
  const api = await ApiFixture.open({ limits: { maxStreams } });
  await api.sprite();
  const gate = Promise.withResolvers<void>();
  api.service.before = () => gate.promise;
  return { api, go: gate.resolve };
}

/** How many were refused before anyone was served, and how many are served then. */
async function outcome(answers: Promise<number>[], go: () => void): Promise<{ refused: number; served: number[] }> {
  const early: number[] = [];
  for (const answer of answers) void answer.then((status) => early.push(status));
  await eventually(() => early.length >= count - maxStreams);
  const refused = early.filter((status) => status === 429).length;
  go();
  return { refused, served: (await Promise.all(answers)).filter((status) => status !== 429) };
}

describe('the limit of streams', () => {
  it('holds for sockets that open at the same time', async () => {
    const { api, go } = await held();
    await using _api = api;
    const sockets = Array.from({ length: count }, () => api.socket(`${exec}?cmd=sleep`));
    const statuses = sockets.map(async (socket) => (await socket.opened).status);
    assert.deepEqual(await outcome(statuses, go), { refused: count - maxStreams, served: [101, 101, 101] });
    assert.equal(api.service.sessions.size, maxStreams);
  });

  it('holds for HTTP execs and streams that open at the same time', async () => {
    const { api, go } = await held();
    await using _api = api;
    const ndjson = { headers: { accept: 'application/x-ndjson' } };
    const requests = Array.from({ length: count }, (_, index) =>
      index % 2 === 0
        ? api.request('POST', `${exec}?cmd=sleep`)
        : index % 4 === 1
          ? api.request('POST', '/v1/sprites/one/checkpoint')
          : api.request('GET', '/v1/sprites', ndjson),
    );
    const statuses = requests.map(async (request) => (await request).status);
    assert.deepEqual(await outcome(statuses, go), { refused: count - maxStreams, served: [200, 200, 200] });
  });

  it('counts neither requests that failed nor clients that left', async () => {
    await using api = await ApiFixture.open({ limits: { maxStreams } });
    await api.sprite();
    for (let index = 0; index < count; index++) {
      assert.equal((await api.socket('/v1/sprites/none/exec?cmd=ls').opened).status, 404);
      assert.equal((await api.request('POST', '/v1/sprites/none/exec?cmd=ls')).status, 404);
    }
    const gate = Promise.withResolvers<void>();
    api.service.before = () => gate.promise;
    // Several on one connection: all but the first wait for their turn to answer, and hear nothing of its end.
    const head = `Host: x\r\nAuthorization: Bearer ${api.token}\r\nContent-Length: 0\r\n\r\n`;
    const before = api.service.calls.length;
    const raw = connect(Number(new URL(api.url).port), '127.0.0.1');
    raw.write(`POST ${exec}?cmd=ls HTTP/1.1\r\n${head}`.repeat(maxStreams));
    await eventually(() => api.service.calls.length === before + maxStreams);
    const refused = await api.json('POST', `${exec}?cmd=ls`);
    assert.deepEqual([refused.status, refused.body.code], [429, 'too_many_sessions']);
    raw.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    api.service.before = () => {};
    const next = api.socket(`${exec}?cmd=sleep`);
    assert.equal((await next.opened).status, 101);
    next.raw.terminate();
    gate.resolve();
  });
});
