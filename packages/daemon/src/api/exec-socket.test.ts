import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiFixture, eventually, stdin, type Message } from './testing/fixture.ts';
import type { FakeSession } from './testing/fake-session.ts';

const isText = (message: Message | undefined, type: string): boolean => message !== undefined && !Buffer.isBuffer(message) && message['type'] === type;

describe('exec socket without a terminal', () => {
  it('sends session_info, output, binary exit, text exit, and closes with 1000', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    api.service.onStart = (session) => {
      session.print('out');
      session.print('err', 'stderr');
      session.exit(7);
    };
    const socket = api.socket('/v1/sprites/one/exec?cmd=sh&cmd=-c&cmd=a%20b&path=sh');
    assert.deepEqual(await socket.closed, { code: 1000, reason: '' });
    assert.deepEqual(socket.brief, ['session_info', '1:out', '2:err', '3:7', 'exit']);
    const [info, , , exit, textExit] = socket.messages as [any, Buffer, Buffer, Buffer, any];
    assert.deepEqual({ ...info, created: 0 }, { type: 'session_info', session_id: '1', command: '/usr/bin/sh -c a b', created: 0, cols: 0, rows: 0, is_owner: true, tty: false, offset: 0 });
    assert.equal(exit.length, 2);
    assert.deepEqual(textExit, { type: 'exit', exit_code: 7, code: 7, session_id: '1' });
    const { headers } = await socket.opened;
    assert.equal(headers['sec-websocket-extensions'], undefined);
    assert.equal(headers['x-sprite-capabilities'], 'signal');
    assert.equal(headers['sprite-version'], 'v0.1.0');
    assert.ok(headers['x-request-id']);
    assert.equal(api.service.leases, 0);
    await eventually(() => api.service.sessions.get('1')?.clients === 0);
  });

  it('passes input, end of input, signals and sizes on', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const socket = api.socket('/v1/sprites/one/exec?cmd=cat&stdin=true');
    await socket.until((messages) => messages.length === 1);
    for (const message of [stdin('one'), stdin('two'), Buffer.from([4]), Buffer.from([5, 1]), { type: 'signal', signal: 'sigint' }, { type: 'signal', signal: 'USR1' }, { type: 'resize', cols: 100, rows: 30 }, { type: 'news' }]) socket.send(message);
    const session = api.service.sessions.get('1') as FakeSession;
    await eventually(() => session.received.length === 6);
    assert.deepEqual(session.received, ['one', 'two', '<eof>', '<INT>', '<USR1>', '<100x30>']);
    session.exit(0);
    socket.send(stdin('late'));
    assert.equal((await socket.closed).code, 1000);
    assert.equal(session.received.length, 6);
  });
});
