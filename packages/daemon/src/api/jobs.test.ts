import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from './testing/fixture.ts';

/** Background jobs over HTTP, with real processes. */
describe('jobs', () => {
  let api: ApiFixture<AgentService>;
  const jobs = '/v1/sprites/one/jobs';

  useAgentApi(async (opened) => {
    api = opened;
    await api.sprite();
  });

  async function start(body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<Json> {
    const answer = await api.json('POST', jobs, { body, headers });
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    assert.equal(answer.headers.get('location'), `${jobs}/${answer.body.id}`);
    return answer.body;
  }

  async function ended(id: string): Promise<Json> {
    let found: Json;
    await eventually(async () => {
      found = (await api.json('GET', `${jobs}/${id}`)).body;
      return found.state !== 'running';
    });
    return found;
  }

  async function logs(id: string, query = '', headers: Record<string, string> = {}): Promise<string> {
    const response = await api.request('GET', `${jobs}/${id}/logs${query}`, { headers });
    assert.equal(response.status, 200);
    return response.text();
  }

  it('run with their input and environment, and tell how they ended', async () => {
    const made = await start({
      cmd: ['sh', '-c', 'cat; echo "$WHO" >&2; exit 3'],
      env: { WHO: 'me = you' },
      stdin: 'grüße\n',
      timeout: '10m',
    });
    assert.deepEqual([made.sprite, made.state, made.exit_code, made.timeout_ms], ['one', 'running', null, 600_000]);
    const job = await ended(made.id);
    assert.deepEqual([job.state, job.exit_code, job.output_bytes], ['failed', 3, 17]);
    assert.ok(Date.parse(job.ended_at) >= Date.parse(job.created_at));
    assert.equal(await logs(made.id, '?stream=stdout'), 'grüße\n');
    assert.equal(await logs(made.id, '?stream=stderr'), 'me = you\n');
    const lines = (await logs(made.id, '', { accept: 'application/x-ndjson' }))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(lines.at(-1), { type: 'end', offset: 17, job });
    // Two pipes: which of them is read first is open.
    for (const { type, offset, data } of lines.slice(0, -1))
      assert.equal(await logs(made.id, `?offset=${offset}&stream=${type}`), data);
    assert.deepEqual(new Set(lines.slice(0, -1).map(({ data }) => data)), new Set(['grüße\n', 'me = you\n']));
    assert.equal(await logs(made.id, '?offset=17'), '');
    assert.deepEqual((await api.json('GET', jobs)).body.jobs[0], job);
    assert.equal((await ended((await start({ cmd: ['true'] })).id)).state, 'succeeded');
    const missing = await ended((await start({ cmd: ['/no/such'] })).id);
    assert.deepEqual([missing.state, missing.exit_code], ['failed', 127]);
    assert.ok(missing.reason.includes('/no/such'));
  });

  it('show what there is, or follow to the end', async () => {
    const { id } = await start({ cmd: ['sh', '-c', 'echo first; read wait </dev/zero; sleep 60'] });
    await eventually(async () => (await logs(id)) === 'first\n');
    assert.equal(await logs(id, '?offset=6'), '');
    const following = logs(id, '?follow=true&offset=3', { accept: 'application/x-ndjson' });
    const killed = await api.json('POST', `${jobs}/${id}/kill`, { body: { signal: 'SIGKILL' } });
    assert.equal(killed.status, 200);
    const job = await ended(id);
    assert.deepEqual([job.state, job.exit_code, job.signal], ['killed', 137, 'KILL']);
    const lines = (await following)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(lines, [
      { type: 'stdout', offset: 3, data: 'st\n' },
      { type: 'end', offset: 6, job },
    ]);
    assert.equal((await api.json('POST', `${jobs}/${id}/kill`)).status, 410);
  });

  it('tell bytes that are no text as base64', async () => {
    const { id } = await start({ cmd: ['printf', '\\377\\376'] });
    await ended(id);
    const [line] = (await logs(id, '', { accept: 'application/x-ndjson' })).split('\n');
    assert.deepEqual(JSON.parse(line as string), { type: 'stdout', offset: 0, data: '//4=', encoding: 'base64' });
    assert.deepEqual(
      Buffer.from(await (await api.request('GET', `${jobs}/${id}/logs`)).arrayBuffer()),
      Buffer.from([255, 254]),
    );
  });

  it('end when their time is up', async () => {
    const job = await ended((await start({ cmd: ['sleep', '60'], timeout: '50ms' })).id);
    assert.deepEqual([job.state, job.signal, job.reason], ['timed_out', 'TERM', 'it ran longer than 0.05 s']);
  });

  it('start once per key, given in the body or as a header', async () => {
    const body = { cmd: ['true'], idempotency_key: 'key-1', notify: 'https://example.com/hook' };
    const [one, two] = await Promise.all([start(body), start(body)]);
    assert.deepEqual(one, two);
    assert.match(one.notify_secret, /^whsec_/);
    assert.deepEqual(await start(body), one);
    assert.deepEqual(await start(body, { 'idempotency-key': 'key-1' }), one);
    assert.equal((await api.json('POST', jobs, { body: { ...body, cmd: ['false'] } })).status, 409);
    assert.equal((await api.json('POST', jobs, { body, headers: { 'idempotency-key': 'other' } })).status, 400);
    assert.equal((await ended(one.id)).notify_secret, undefined);
  });

  it('are found again by their key when nobody knows what became of the answer', async () => {
    const body = { cmd: ['true'], idempotency_key: 'key-2' };
    const first = await start(body);
    const known = await api.repository.idempotent(api.org.id, 'key-2');
    // As a daemon leaves it that dies between the start and its answer.
    await api.repository.insertIdempotent({
      ...(known ?? assert.fail()),
      status: 0,
      body: '',
      createdAt: first.created_at,
    });
    const before = (await api.json('GET', jobs)).body.count;
    const again = await api.json('POST', jobs, { body });
    assert.deepEqual([again.status, again.body.id], [202, first.id]);
    assert.equal((await api.json('GET', jobs)).body.count, before);
  });

  it('are removed once they have ended', async () => {
    const { id } = await start({ cmd: ['sleep', '60'] });
    const refused = await api.json('DELETE', `${jobs}/${id}`);
    assert.deepEqual([refused.status, refused.body.code], [409, 'illegal_state']);
    await api.json('POST', `${jobs}/${id}/kill`, { body: { signal: 'KILL' } });
    await ended(id);
    assert.equal((await api.request('DELETE', `${jobs}/${id}`)).status, 204);
    for (const [method, path] of [
      ['GET', `${jobs}/${id}`],
      ['DELETE', `${jobs}/${id}`],
      ['GET', `${jobs}/${id}/logs`],
      ['POST', `${jobs}/${id}/kill`],
      ['GET', `${jobs}/nonsense`],
    ] as const) {
      const answer = await api.json(method, path);
      assert.deepEqual([answer.status, answer.body.code], [404, 'job_not_found'], path);
    }
  });

  it('refuse what makes no sense, and start nothing', async () => {
    const before = (await api.json('GET', jobs)).body.count;
    for (const body of [
      {},
      { cmd: [] },
      { cmd: ['a\0b'] },
      { cmd: ['x'], unknown: 1 },
      { cmd: ['x'], timeout: 'soon' },
      { cmd: ['x'], env: { 'A=B': 'c' } },
      { cmd: ['x'], notify: 'ftp://example.com' },
      { cmd: ['x'], notify: 'http://user:secret@example.com' },
      { cmd: ['x'], notify: 'https://example.com', notify_secret: 'short' },
      { cmd: ['x'], idempotency_key: 'with space' },
      { cmd: ['x'], dir: 'a\0b' },
      { cmd: ['x'.repeat(100_000)] },
    ]) {
      const { status } = await api.json('POST', jobs, { body });
      assert.equal(status, 400, JSON.stringify(body).slice(0, 100));
    }
    assert.equal((await api.json('GET', jobs)).body.count, before);
    // An exec session is no job.
    await api.request('POST', '/v1/sprites/one/exec?cmd=true', {});
    assert.equal((await api.json('GET', jobs)).body.count, before);
  });
});
