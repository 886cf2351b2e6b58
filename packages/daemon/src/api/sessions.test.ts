import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ApiFixture, type Json } from './testing/fixture.ts';
import { FakeSession } from './testing/fake-session.ts';

const exec = '/v1/sprites/one/exec';

/** An API with a running session `1`. */
async function open(): Promise<{ api: ApiFixture; session: FakeSession } & AsyncDisposable> {
  const api = await ApiFixture.open();
  await api.sprite();
  const session = new FakeSession('1', {
    argv: ['sleep', '654'],
    path: 'sleep',
    env: {},
    dir: '/home/sprite',
    user: 'sprite',
    tty: null,
    stdin: false,
    maxRunAfterDisconnectMs: null,
  });
  api.service.sessions.set('1', session);
  return { api, session, [Symbol.asyncDispose]: () => api[Symbol.asyncDispose]() };
}

const types = (lines: Json[]): string[] => lines.map(({ type }) => type);

describe('sessions', () => {
  it('lists running sessions without waking the sprite', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    using _attached = session.attach();
    const { status, body } = await api.json('GET', exec);
    assert.equal(status, 200);
    assert.deepEqual(body, {
      count: 1,
      sessions: [
        {
          id: '1',
          command: '/usr/bin/sleep 654',
          workdir: '/home/sprite',
          created: session.createdAt.toISOString(),
          tty: false,
          bytes_per_second: 0,
          is_active: true,
          last_activity: session.lastActivityAt.toISOString(),
        },
      ],
    });
    session.exit(0);
    assert.deepEqual((await api.json('GET', exec)).body, { count: 0, sessions: [] });
    await api.service.create(api.org, { name: 'new' });
    assert.deepEqual((await api.json('GET', '/v1/sprites/new/exec')).body, { count: 0, sessions: [] });
    assert.ok(!api.service.calls.some((call) => call.startsWith('use')));
    const head = await api.request('HEAD', exec);
    assert.deepEqual([head.status, head.headers.get('sprite-version')], [200, 'v0.1.0']);
  });

  it('are signalled and seen to end', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    session.onSignal = () => void setTimeout(() => session.exit(143, 'TERM'), 20);
    const { status, lines } = await api.lines('POST', `${exec}/1/kill`);
    assert.equal(status, 200);
    assert.deepEqual(session.received, ['<TERM>']);
    assert.deepEqual(lines, [
      { type: 'signal', message: 'Sent SIGTERM to process group 4711', signal: 'SIGTERM', pid: 4711 },
      { type: 'exited', message: 'Exited' },
      { type: 'complete', exit_code: 143 },
    ]);
    const again = await api.json('POST', `${exec}/1/kill`);
    assert.deepEqual([again.status, again.body.code], [410, 'session_exited']);
    assert.equal(api.service.leases, 0);
  });

  it('are killed when the signal does not end them in time', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    session.onSignal = (signal) => {
      if (signal === 'KILL') session.exit(137, 'KILL');
    };
    const { lines } = await api.lines('POST', `${exec}/1/kill?signal=SIGINT&timeout=50ms`);
    assert.deepEqual(session.received, ['<INT>', '<KILL>']);
    assert.deepEqual(types(lines), ['signal', 'timeout', 'signal', 'killed', 'exited', 'complete']);
    assert.equal(lines.at(-1).exit_code, 137);
  });

  it('only get the signal with timeout=0s, which answers at once', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    const { lines } = await api.lines('POST', `${exec}/1/kill?signal=USR1&timeout=0s`);
    assert.deepEqual(session.received, ['<USR1>']);
    assert.deepEqual(types(lines), ['signal', 'complete']);
    assert.equal('exit_code' in lines[1], false);
    assert.equal(session.end, undefined);
  });

  it('take signal and timeout from a JSON body too', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    await api.lines('POST', `${exec}/1/kill`, { body: { signal: 'hup', timeout: '0s' } });
    assert.deepEqual(session.received, ['<HUP>']);
  });

  it('that are lost are not said to have exited', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    session.onSignal = () => session.finish({ how: 'lost', reason: 'the VM died', at: '' });
    const { lines } = await api.lines('POST', `${exec}/1/kill`);
    assert.deepEqual(types(lines), ['signal', 'error']);
    assert.match(lines[1].message, /the VM died/);
  });

  it('answer 404 for an unknown id, 400 for bad values, and tell a failed signal by its status', async () => {
    await using fixture = await open();
    const { api, session } = fixture;
    const unknown = await api.json('POST', `${exec}/9/kill`);
    assert.deepEqual([unknown.status, unknown.body.error], [404, 'session not found: 9']);
    for (const query of ['signal=NOPE', 'signal=9', 'timeout=soon', 'timeout=-1s'])
      assert.equal((await api.json('POST', `${exec}/1/kill?${query}`)).status, 400, query);
    assert.deepEqual(session.received, []);
    session.onSignal = () => {
      throw new SylphError('agent_failed', 'the agent does not answer');
    };
    assert.equal((await api.json('POST', `${exec}/1/kill`)).status, 502);
  });
});
