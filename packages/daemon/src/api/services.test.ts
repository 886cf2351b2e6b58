import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from './testing/fixture.ts';

/** Services over HTTP, with real processes. */
describe('services', () => {
  let api: ApiFixture<AgentService>;
  const services = '/v1/sprites/one/services';

  useAgentApi(async (opened) => {
    api = opened;
    await api.sprite();
  });

  const shell = (script: string, more: Json = {}): Json => ({ cmd: 'sh', args: ['-c', script], dir: '/', ...more });
  const types = (lines: Json[]): string => lines.map(({ type }) => type).join(' ');

  async function put(name: string, body: Json, query = '?duration=300ms'): Promise<Json[]> {
    const { status, lines } = await api.lines('PUT', `${services}/${name}${query}`, { body });
    assert.equal(status, 200, JSON.stringify(lines));
    return lines;
  }

  it('are created, told of, stopped and deleted', async () => {
    assert.deepEqual((await api.json('GET', services)).body, []);
    const lines = await put('web', shell('echo "$HOME $WHO"; exec sleep 1000', { env: { WHO: 'me' } }));
    assert.equal(types(lines), 'started stdout complete');
    assert.equal(lines[1].data, '/home/sprite me\n');
    const path = '/.sprite/logs/services/web.log';
    assert.deepEqual(lines.at(-1).log_files, { combined: path, stdout: path, stderr: path });
    assert.ok(lines.every(({ timestamp }) => Math.abs(timestamp - Date.now()) < 60_000));
    const { body } = await api.json('GET', `${services}/web`);
    assert.deepEqual(
      [body.name, body.cmd, body.args, body.env, body.dir, body.needs, body.http_port],
      ['web', 'sh', ['-c', 'echo "$HOME $WHO"; exec sleep 1000'], { WHO: 'me' }, '/', [], null],
    );
    assert.deepEqual([body.state.name, body.state.status, body.state.restart_count], ['web', 'running', 0]);
    assert.ok(body.state.pid > 0 && Date.parse(body.state.started_at) > 0);
    assert.equal('next_restart_at' in body.state, false);
    assert.deepEqual((await api.json('GET', services)).body, [body]);
    assert.equal((await api.json('GET', '/v1/sprites/one/exec')).body.count, 0, 'it is no session');

    assert.equal(
      (await api.request('POST', `${services}/signal`, { body: { name: 'web', signal: 'SIGCONT' } })).status,
      204,
    );
    assert.match(
      types((await api.lines('POST', `${services}/web/restart?duration=100ms`)).lines),
      /^stopping stopped started/,
    );
    assert.equal(types((await api.lines('POST', `${services}/web/start?duration=0s`)).lines), 'started complete');
    assert.equal(
      types((await api.lines('POST', `${services}/web/stop?timeout=1.5s`)).lines),
      'stopping stopped complete',
    );
    const again = await api.json('POST', `${services}/web/stop`);
    assert.deepEqual([again.status, again.body.code], [409, 'service_conflict']);
    assert.equal((await api.json('POST', `${services}/signal`, { body: { name: 'web', signal: 'HUP' } })).status, 409);
    assert.equal((await api.request('DELETE', `${services}/web`)).status, 204);
    assert.equal((await api.json('GET', `${services}/web`)).status, 404);
  });

  it('refuse what cannot be, and say why', async () => {
    await put('first', shell('exec sleep 1000', { http_port: 18_080 }), '?duration=0s');
    await put('second', shell('exec sleep 1000', { needs: ['first'] }), '?duration=0s');
    const refusals: [string, string, Json, number, RegExp][] = [
      [
        'PUT',
        'third',
        shell('true', { http_port: 18_081 }),
        409,
        /^another service already has an HTTP port configured$/,
      ],
      ['PUT', 'third', shell('true', { needs: ['nobody'] }), 400, /it needs nobody, which does not exist/],
      ['PUT', 'first', shell('true', { needs: ['second'] }), 400, /first needs second needs first/],
      ['PUT', 'third', { args: [] }, 400, /cmd/],
      ['PUT', 'third?duration=5', shell('true'), 400, /duration/],
      ['PUT', 'a%20b', shell('true'), 400, /the name of a service/],
      ['PUT', 'third', shell('x'.repeat(70_000)), 400, /takes \d+ bytes, more than 65536/],
      ['DELETE', 'first', undefined, 409, /first is needed by second/],
      ['GET', 'nobody', undefined, 404, /service not found: nobody/],
      ['GET', 'a%2Fb', undefined, 404, /service not found/],
      ['POST', 'nobody/start', undefined, 404, /service not found/],
      ['POST', 'nobody/stop', undefined, 404, /service not found/],
      ['POST', 'nobody/restart', undefined, 404, /service not found/],
      ['GET', 'nobody/logs', undefined, 404, /service not found/],
      ['GET', 'first/logs?lines=x', undefined, 400, /lines/],
      ['DELETE', 'nobody', undefined, 404, /service not found/],
      ['POST', 'signal', { name: 'first', signal: 'NOPE' }, 400, /signal/],
      ['POST', 'signal', { name: 'nobody', signal: 'TERM' }, 404, /service not found/],
    ];
    for (const [method, path, body, status, text] of refusals) {
      const answer = await api.json(method, `${services}/${path}`, { body });
      assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
      assert.match(answer.body.error, text);
    }
    assert.equal((await api.json('GET', '/v1/sprites/nobody/services')).status, 404);
    for (const name of ['second', 'first'])
      assert.equal((await api.request('DELETE', `${services}/${name}`)).status, 204);
  });

  it('tell what happens: an exit, a failed start, the log and what follows', async () => {
    const crash = await put('crash', shell('echo bad >&2; exit 3'), '?duration=1m');
    assert.equal(types(crash), 'started stderr exit complete');
    assert.equal(crash[2].exit_code, 3);
    const { body } = await api.json('GET', `${services}/crash`);
    assert.deepEqual([body.state.status, body.state.error], ['starting', 'ended with exit code 3']);
    assert.ok(Date.parse(body.state.next_restart_at) > Date.now() - 60_000);
    await eventually(async () => (await api.json('GET', `${services}/crash`)).body.state.restart_count > 0);
    const missing = await put('missing', { cmd: 'no-such-program', dir: '/' }, '?duration=1m');
    assert.equal(types(missing), 'error complete');
    assert.match(missing[0].data, /no-such-program/);
    await put('count', shell('i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'), '?duration=200ms');
    const { lines } = await api.lines('GET', `${services}/count/logs?lines=2&duration=400ms`);
    const numbers = lines.slice(0, -1).map(({ data }) => Number(data));
    assert.ok(numbers.length > 4, numbers.join());
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => (numbers[0] as number) + index),
    );
    for (const name of ['crash', 'missing', 'count']) await api.request('DELETE', `${services}/${name}`);
  });

  it('go on when their client leaves, who keeps the sprite awake no longer', async () => {
    const leaving = new AbortController();
    const response = await fetch(`${api.url}${services}/alone?duration=1h`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${api.token}` },
      body: JSON.stringify(shell('while :; do echo x; sleep 0.05; done')),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    leaving.abort();
    await eventually(async () => (await api.json('GET', `${services}/alone`)).body.state.status === 'running');
    await eventually(() => api.service.leases === 0);
    assert.equal((await api.request('DELETE', `${services}/alone`)).status, 204);
  });
});
