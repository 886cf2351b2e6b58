import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ApiFixture, eventually, stdin, type Message, type Json } from './testing/fixture.ts';
import type { FakeSession } from './testing/fake-session.ts';

const exec = '/v1/sprites/one/exec';
const outputOf = (messages: Message[]): Buffer =>
  Buffer.concat(messages.filter((message) => Buffer.isBuffer(message)).map((message) => message));

/** A fixture with an awake sprite, and its first session once a client has started one. */
async function open(limits = {}): Promise<ApiFixture & { session: FakeSession }> {
  const api = await ApiFixture.open({ limits });
  await api.sprite();
  return Object.defineProperty(api, 'session', { get: () => api.service.sessions.get('1') }) as ApiFixture & {
    session: FakeSession;
  };
}

describe('exec socket without a terminal', () => {
  it('sends session_info, output, binary exit, text exit, and closes with 1000', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.print('out');
      session.print('err', 'stderr');
      session.exit(7);
    };
    const socket = api.socket(`${exec}?cmd=sh&cmd=-c&cmd=a%20b&path=sh`);
    assert.deepEqual(await socket.closed, { code: 1000, reason: '' });
    assert.deepEqual(socket.brief, ['session_info', '1:out', '2:err', '3:7', 'exit']);
    const [info, , , exit, textExit] = socket.messages as [Json, Buffer, Buffer, Buffer, Json];
    assert.deepEqual(
      { ...info, created: 0 },
      {
        type: 'session_info',
        session_id: '1',
        command: '/usr/bin/sh -c a b',
        created: 0,
        cols: 0,
        rows: 0,
        is_owner: true,
        tty: false,
        offset: 0,
        input_offset: 0,
      },
    );
    assert.equal(exit.length, 2);
    assert.deepEqual(textExit, { type: 'exit', exit_code: 7, code: 7, session_id: '1' });
    const { headers } = await socket.opened;
    assert.equal(headers['sec-websocket-extensions'], undefined);
    assert.equal(headers['x-sprite-capabilities'], 'signal');
    assert.equal(headers['sprite-version'], 'v0.1.0');
    assert.ok(headers['x-request-id']);
    assert.equal(api.service.leases, 0);
    await eventually(() => api.session.clients === 0);
  });

  it('composes the environment from defaults, the sprite and the caller', async () => {
    await using api = await open();
    for (const row of api.service.rows.values()) row.environment = { LANG: 'de_DE.UTF-8', A: 'sprite', B: 'sprite' };
    const base = {
      HOME: '/home/sprite',
      USER: 'sprite',
      LOGNAME: 'sprite',
      SHELL: '/bin/bash',
      PATH: '/home/sprite/.local/bin:/.sprite/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LANG: 'de_DE.UTF-8',
      BROWSER: '/.sprite/bin/sprite-browser',
      A: 'sprite',
      B: 'sprite',
    };
    const requestOf = async (query: string) => {
      const { status, body } = await api.socket(`${exec}?${query}`).opened;
      assert.equal(status, 101, JSON.stringify(body));
      return [...api.service.sessions.values()].at(-1)?.request;
    };
    assert.deepEqual(await requestOf('cmd=ls'), {
      argv: ['ls'],
      path: 'ls',
      env: base,
      dir: '/home/sprite',
      user: 'sprite',
      tty: null,
      stdin: false,
      maxRunAfterDisconnectMs: 10_000,
    });
    const given = await requestOf(
      'cmd=ls&cmd=a%20b&cmd=&path=/bin/ls&env=B=x%3Dy&env=C=&dir=/tmp&stdin=true&max_run_after_disconnect=1m30s&cc=true&detachable=true&unknown=1',
    );
    assert.deepEqual(given, {
      argv: ['ls', 'a b', ''],
      path: '/bin/ls',
      env: { ...base, B: 'x=y', C: '' },
      dir: '/tmp',
      user: 'sprite',
      tty: null,
      stdin: true,
      maxRunAfterDisconnectMs: 90_000,
    });
    assert.deepEqual(await requestOf('tty=true'), {
      argv: ['bash'],
      path: 'bash',
      env: { ...base, TERM: 'xterm-256color' },
      dir: '/home/sprite',
      user: 'sprite',
      tty: { cols: 80, rows: 24 },
      stdin: true,
      maxRunAfterDisconnectMs: null,
    });
    const terminal = await requestOf(
      'cmd=vi&tty=true&cols=100&rows=30&env=TERM=screen&stdin=false&dir=sub&max_run_after_disconnect=5s',
    );
    assert.deepEqual(
      [terminal?.tty, terminal?.env['TERM'], terminal?.stdin, terminal?.dir, terminal?.maxRunAfterDisconnectMs],
      [{ cols: 100, rows: 30 }, 'screen', false, '/home/sprite/sub', 5_000],
    );
    assert.equal((await requestOf('cmd=ls&max_run_after_disconnect=0'))?.maxRunAfterDisconnectMs, null);
    for (const session of api.service.sessions.values()) session.exit(0);
  });

  it('refuses bad parameters with 400 before the upgrade', async () => {
    await using api = await open();
    const bad = [
      'cmd=',
      'cmd=a%00b',
      'cmd=ls&env=novalue',
      'cmd=ls&env==x',
      'cmd=ls&env=A',
      'cmd=ls&dir=%00',
      'tty=maybe',
      'tty=true&cols=0',
      'tty=true&rows=x',
      'tty=true&cols=70000',
      'cmd=ls&max_run_after_disconnect=soon',
      'cmd=ls&max_run_after_disconnect=-1s',
      'cmd=ls&max_run_after_disconnect=10',
      `cmd=ls&cmd=${'x'.repeat(70_000)}`,
      `cmd=ls${'&env=A=x'.repeat(5_000)}`,
    ];
    for (const query of bad) {
      const { status, body, headers } = await api.socket(`${exec}?${query}`).opened;
      assert.equal(status, 400, query.slice(0, 100));
      assert.equal(body.code, 'invalid_request', query.slice(0, 100));
      assert.ok(headers['x-request-id'] && headers['sprite-version']);
    }
    assert.deepEqual(api.service.sessions.size, 0);
    assert.equal(api.service.leases, 0);
  });

  it('answers a failure of the engine with its status before the upgrade', async () => {
    await using api = await open();
    api.service.before = (call) => {
      if (call.startsWith('use'))
        throw new SylphError('sprite_failed', 'the sprite cannot start', { hint: 'sylph recover one' });
    };
    const { status, body } = await api.socket(`${exec}?cmd=ls`).opened;
    assert.deepEqual([status, body.code, body.hint], [503, 'sprite_failed', 'sylph recover one']);
  });

  it('passes input, end of input, signals and sizes on, and ignores what comes after the end', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=cat&stdin=true`);
    await socket.until((messages) => messages.length === 1);
    for (const message of [
      stdin('one'),
      stdin('two'),
      stdin(''),
      Buffer.from([4]),
      Buffer.from([5, 1]),
      { type: 'signal', signal: 'sigint' },
      { type: 'signal', signal: 'USR1' },
      { type: 'resize', cols: 100, rows: 30 },
      { type: 'news' },
      {},
    ])
      socket.send(message);
    await eventually(() => api.session.received.length === 6);
    assert.deepEqual(api.session.received, ['one', 'two', '<eof>', '<INT>', '<USR1>', '<100x30>']);
    api.session.exit(0);
    socket.send(stdin('late'));
    assert.equal((await socket.closed).code, 1000);
    assert.equal(api.session.received.length, 6);
  });

  it('drops input that is not connected', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=ls&stdin=false`);
    await socket.until((messages) => messages.length === 1);
    for (const message of [stdin('x'), Buffer.from([4]), { type: 'signal', signal: 'TERM' }]) socket.send(message);
    await eventually(() => api.session.received.length === 1);
    assert.deepEqual(api.session.received, ['<TERM>']);
    api.session.exit(0);
    await socket.closed;
  });

  it('splits output into messages of at most 64 KiB and loses no byte', async () => {
    await using api = await open();
    const bytes = randomBytes(300_000);
    api.service.onStart = (session) => {
      session.print(bytes);
      session.print(bytes.subarray(0, 65_536), 'stderr');
      session.exit(0);
    };
    const socket = api.socket(`${exec}?cmd=cat`);
    await socket.closed;
    const binary = socket.messages.filter((message) => Buffer.isBuffer(message));
    assert.ok(binary.every((message) => message.length <= 65_536));
    const of = (stream: number): Buffer =>
      Buffer.concat(binary.filter((message) => message[0] === stream).map((message) => message.subarray(1)));
    assert.ok(of(1).equals(bytes));
    assert.ok(of(2).equals(bytes.subarray(0, 65_536)));
    assert.deepEqual(binary.at(-1), Buffer.from([3, 0]));
  });

  it('tells a program that cannot start on stderr, with 127 or 126', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.print('nope: no such program\n', 'stderr');
      session.finish({ how: 'not-started', code: 127, reason: 'nope: no such program', at: '' });
    };
    const socket = api.socket(`${exec}?cmd=nope`);
    assert.equal((await socket.closed).code, 1000);
    assert.deepEqual(socket.brief, ['session_info', '2:nope: no such program\n', '3:127', 'exit']);
  });

  it('tells a lost session as lost, never as an exit', async () => {
    await using api = await open();
    for (const query of ['cmd=sleep', 'cmd=sleep&tty=true']) {
      const socket = api.socket(`${exec}?${query}`);
      await socket.until((messages) => messages.length === 1);
      [...api.service.sessions.values()].at(-1)?.finish({ how: 'lost', reason: 'the VM died', at: '' });
      const { code, reason } = await socket.closed;
      assert.deepEqual([code, reason], [1011, 'the session was lost: the VM died']);
      assert.deepEqual(socket.brief, ['session_info', 'lost', 'error']);
      assert.equal((socket.messages[1] as Json).reason, 'the VM died');
    }
  });

  it('tells missing output', async () => {
    await using api = await open();
    api.service.onStart = (session) => {
      session.drop(0, 1_000);
      session.print('rest');
      session.exit(0);
    };
    const socket = api.socket(`${exec}?cmd=x`);
    await socket.closed;
    assert.deepEqual(socket.brief, ['session_info', 'dropped', '1:rest', '3:0', 'exit']);
    assert.deepEqual(socket.messages[1], { type: 'dropped', session_id: '1', from: 0, to: 1_000 });
  });

  it('closes on malformed messages with a reason and leaves the process alone', async () => {
    await using api = await open();
    const cases: [string | Buffer, number][] = [
      [Buffer.alloc(0), 1003],
      [Buffer.from([9, 1]), 1003],
      [Buffer.from([1, 65]), 1003],
      ['not json', 1003],
      ['"text"', 1003],
      ['null', 1003],
    ];
    for (const [message, code] of cases) {
      const socket = api.socket(`${exec}?cmd=cat&stdin=true`);
      await socket.until((messages) => messages.length === 1);
      socket.send(message);
      const closed = await socket.closed;
      assert.equal(closed.code, code);
      assert.ok(closed.reason.length > 10);
      const session = [...api.service.sessions.values()].at(-1) as FakeSession;
      await eventually(() => session.clients === 0);
      assert.equal(session.end, undefined);
      assert.deepEqual(session.received, []);
    }
  });

  it('answers wrong values of a control message without closing', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=cat`);
    await socket.until((messages) => messages.length === 1);
    for (const message of [
      { type: 'signal', signal: 'NOPE' },
      { type: 'signal' },
      { type: 'resize', cols: 0, rows: 0 },
      { type: 'resize', cols: 'x' },
    ])
      socket.send(message);
    await socket.until((messages) => messages.length === 5);
    assert.deepEqual(socket.brief, ['session_info', 'error', 'error', 'error', 'error']);
    assert.deepEqual(api.session.received, []);
    api.session.exit(0);
    await socket.closed;
  });

  it('closes on broken frames with the codes of the protocol', async () => {
    await using api = await open({ maxMessageBytes: 1024 });
    const reserved = await rawFrame(api, Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
    assert.equal(reserved, 1002);
    const unmasked = await rawFrame(api, Buffer.from([0x81, 0x01, 0x41]));
    assert.equal(unmasked, 1002);
    const badText = await rawFrame(api, Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]));
    assert.equal(badText, 1007);
    const huge = await rawFrame(api, Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert.equal(huge, 1009);
    for (const session of api.service.sessions.values()) assert.equal(session.end, undefined);
    await eventually(() => [...api.service.sessions.values()].every((session) => session.clients === 0));
  });

  it('answers pings', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=sleep`);
    await socket.opened;
    await socket.until((messages) => messages.length === 1);
    const pong = new Promise<string>((resolve) => socket.raw.once('pong', (data: Buffer) => resolve(data.toString())));
    socket.raw.ping('here');
    assert.equal(await pong, 'here');
    api.session.exit(0);
    await socket.closed;
  });

  it('breaks a silence with a message, and only a silence', async () => {
    await using api = await open({ keepAliveMs: 100 });
    const socket = api.socket(`${exec}?cmd=sleep`);
    await socket.until((messages) => messages.length === 3);
    assert.deepEqual(socket.brief, ['session_info', 'debug', 'debug']);
    assert.deepEqual(socket.messages[1], { type: 'debug', msg: 'keepalive' });
    api.session.exit(0);
    await socket.closed;
  });

  it('does not end the process when the client leaves, in whatever way', async () => {
    await using api = await open();
    for (const leave of ['close', 'terminate'] as const) {
      const socket = api.socket(`${exec}?cmd=sleep`);
      await socket.until((messages) => messages.length === 1);
      const session = [...api.service.sessions.values()].at(-1) as FakeSession;
      assert.equal(session.clients, 1);
      socket.raw[leave]();
      await eventually(() => session.clients === 0);
      assert.equal(session.end, undefined);
      assert.deepEqual(session.received, []);
    }
  });

  it('holds a session back while its client does not read, and then sends everything', async () => {
    await using api = await open();
    const bytes = randomBytes(64 * 1024);
    const socket = api.socket(`${exec}?cmd=yes`);
    await socket.until((messages) => messages.length === 1);
    socket.raw.pause();
    const chunks = 512;
    for (let index = 0; index < chunks; index++) api.session.print(bytes);
    api.session.exit(0);
    await eventually(() => api.session.takenOffset > 0);
    let taken = -1;
    while (taken !== api.session.takenOffset) {
      taken = api.session.takenOffset;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(taken < 20 * 1024 * 1024, `${taken} bytes were taken for a client that does not read`);
    socket.raw.resume();
    await socket.closed;
    const total = socket.messages.reduce(
      (sum, message) => sum + (Buffer.isBuffer(message) && message[0] === 1 ? message.length - 1 : 0),
      0,
    );
    assert.equal(total, chunks * bytes.length);
    assert.deepEqual(socket.brief.slice(-2), ['3:0', 'exit']);
  });

  it('stops reading a client whose process does not take its input, and goes on later', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=sleep&stdin=true`);
    await socket.until((messages) => messages.length === 1);
    const gate = Promise.withResolvers<void>();
    api.session.onWrite = () => gate.promise;
    const part = Buffer.alloc(64 * 1024, 65);
    const parts = 400;
    for (let index = 0; index < parts; index++) socket.send(Buffer.concat([Buffer.from([0]), part]));
    await eventually(() => api.session.received.length > 15);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(api.session.received.length < 60, `${api.session.received.length} messages were read`);
    gate.resolve();
    await eventually(() => api.session.received.length === parts);
    api.session.exit(0);
    assert.equal((await socket.closed).code, 1000);
  });

  it('wakes a sprite that was put to sleep under its client when input comes', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?cmd=cat&stdin=true`);
    await socket.until((messages) => messages.length === 1);
    await api.service.suspend(api.org, 'one');
    api.service.calls.length = 0;
    socket.send(stdin('x'));
    socket.send(stdin('y'));
    await eventually(() => api.session.received.length === 2);
    assert.deepEqual(api.service.calls, ['use one']);
    await eventually(() => api.service.leases === 0);
    api.session.exit(0);
    await socket.closed;
  });
});

describe('exec socket with a terminal', () => {
  it('sends raw bytes and the text exit before it closes with 1000 or 4000 + the exit code', async () => {
    await using api = await open();
    for (const [code, closeCode] of [
      [0, 1000],
      [1, 4001],
      [255, 4255],
    ] as const) {
      api.service.onStart = (session) => {
        session.print('\x1b[1mraw');
        session.exit(code);
      };
      const socket = api.socket(`${exec}?cmd=bash&tty=true&cols=100&rows=30`);
      assert.equal((await socket.closed).code, closeCode);
      const [info, raw, exit] = socket.messages as [Json, Buffer, Json];
      assert.deepEqual([info.tty, info.cols, info.rows], [true, 100, 30]);
      assert.equal(raw.toString(), '\x1b[1mraw');
      assert.deepEqual([exit.type, exit.exit_code, exit.code], ['exit', code, code]);
      assert.equal(socket.messages.length, 3);
    }
  });

  it('takes binary messages as keys and text messages as control', async () => {
    await using api = await open();
    const socket = api.socket(`${exec}?tty=true`);
    await socket.until((messages) => messages.length === 1);
    for (const message of [
      Buffer.from('\x03'),
      Buffer.from([4]),
      Buffer.from('ls\r'),
      { type: 'resize', cols: 90, rows: 20 },
    ])
      socket.send(message);
    await eventually(() => api.session.received.length === 4);
    assert.deepEqual(api.session.received, ['\x03', '\x04', 'ls\r', '<90x20>']);
    api.session.exit(0);
    await socket.closed;
  });
});

describe('attach', () => {
  it('tells how much input the session has, unless more of another client may come or nobody knows', async () => {
    await using api = await open();
    const owner = api.socket(`${exec}?cmd=cat&stdin=true`);
    await owner.until((messages) => messages.length === 1);
    owner.send(stdin('12345'));
    await eventually(() => api.session.inputBytes === 5);
    const attach = async (query = '') => {
      const socket = api.socket(`${exec}/1?${query}`);
      await socket.until((messages) => messages.length === 1);
      return { socket, inputOffset: (socket.messages[0] as Json).input_offset };
    };
    assert.equal((await attach('stdin=false')).inputOffset, undefined, 'the owner may send more');
    owner.raw.terminate();
    await eventually(() => api.session.clients === 1);
    const back = await attach();
    assert.equal(back.inputOffset, 5, 'one that only looks sends nothing');
    back.socket.raw.terminate();
    await eventually(() => api.session.clients === 1);
    api.session.inputBytes = undefined;
    assert.equal((await attach()).inputOffset, undefined);
    api.session.exit(0);
  });

  it('replays the output from the start or an offset, then goes on live', async () => {
    await using api = await open();
    const first = api.socket(`${exec}?cmd=sleep`);
    await first.until((messages) => messages.length === 1);
    api.session.print('hello ');
    api.session.print('world', 'stderr');
    for (const [path, replay] of [
      [`${exec}/1`, ['1:hello ', '2:world']],
      [`${exec}/1?offset=0&tty=true&dir=/x`, ['1:hello ', '2:world']],
      [`${exec}/1?offset=3`, ['1:lo ', '2:world']],
      [`${exec}/1?offset=11`, []],
      [`${exec}?id=1`, ['1:hello ', '2:world']],
      [`${exec}?session_id=1&cmd=&path=`, ['1:hello ', '2:world']],
    ] as const) {
      const socket = api.socket(path);
      await socket.until((messages) => messages.length === 1 + replay.length);
      assert.deepEqual(socket.brief, ['session_info', ...replay]);
      const info = socket.messages[0] as Json;
      assert.deepEqual([info.is_owner, info.session_id, info.tty], [false, '1', false]);
      assert.equal(info.offset, Number(/offset=(\d+)/.exec(path)?.[1] ?? 0));
      socket.raw.close();
    }
    const live = api.socket(`${exec}/1?offset=11&stdin=true`);
    await live.until((messages) => messages.length === 1);
    api.session.print('more');
    api.session.exit(3);
    await live.closed;
    assert.deepEqual(live.brief, ['session_info', '1:more', '3:3', 'exit']);
    await first.closed;
    const late = api.socket(`${exec}/1`);
    assert.equal((await late.closed).code, 1000);
    assert.deepEqual(late.brief, ['session_info', '1:hello ', '2:world', '1:more', '3:3', 'exit']);
  });

  it('lets several clients read and write, and counts them', async () => {
    await using api = await open();
    const owner = api.socket(`${exec}?tty=true`);
    await owner.until((messages) => messages.length === 1);
    const second = api.socket(`${exec}/1`);
    await second.until((messages) => messages.length === 1);
    assert.equal(api.session.clients, 2);
    owner.send(Buffer.from('a'));
    await eventually(() => api.session.received.length === 1);
    second.send(Buffer.from('b'));
    await eventually(() => api.session.received.length === 2);
    api.session.print('both');
    api.session.exit(0);
    await Promise.all([owner.closed, second.closed]);
    for (const socket of [owner, second]) assert.equal(outputOf(socket.messages).toString(), 'both');
  });

  it('answers 404 for an unknown id without waking anything, and 400 for an offset that is not there', async () => {
    await using api = await ApiFixture.open();
    await api.service.create(api.org, { name: 'one' });
    for (const path of [`${exec}/9`, `${exec}/x%2f..%2f`, `${exec}?id=9`, `${exec}?session_id=abc`]) {
      const { status, body } = await api.socket(path).opened;
      assert.equal(status, 404, path);
      assert.equal(body.code, 'session_not_found');
      assert.match(body.error, /^session not found: /);
    }
    assert.ok(!api.service.calls.some((call) => call.startsWith('use')));
    await api.service.start(api.org, 'one');
    const socket = api.socket(`${exec}?cmd=x`);
    await socket.until((messages) => messages.length === 1);
    for (const offset of ['5000000', '-1', 'x', '1.5'])
      assert.equal((await api.socket(`${exec}/1?offset=${offset}`).opened).status, 400, offset);
    api.service.sessions.get('1')?.exit(0);
    await socket.closed;
    assert.equal((await api.socket(`${exec}/1?offset=1`).opened).status, 400);
  });

  it('waits where a client has seen more than is known here, as after a crash', async () => {
    await using api = await open();
    const first = api.socket(`${exec}?cmd=x`);
    await first.until((messages) => messages.length === 1);
    api.session.print('abc');
    const resumed = api.socket(`${exec}/1?offset=5`);
    await resumed.until((messages) => messages.length === 1);
    api.session.print('defg');
    api.session.exit(0);
    await resumed.closed;
    assert.deepEqual(resumed.brief, ['session_info', '1:fg', '3:0', 'exit']);
    await first.closed;
  });
});

describe('upgrades', () => {
  it('are told from ordinary requests by the Upgrade header', async () => {
    await using api = await open();
    assert.equal((await api.json('GET', exec)).status, 200);
    const h2c = await rawRequest(
      api,
      `GET ${exec} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    );
    assert.match(h2c, /^HTTP\/1\.1 200 [^]*"count":0/);
    assert.equal((await api.request('HEAD', exec)).status, 200);
    const plain = await api.json('GET', `${exec}/1`);
    assert.deepEqual([plain.status, plain.body.code], [400, 'invalid_request']);
    for (const path of ['/v1/sprites/one/control', '/v1/nothing', '/v1/sprites']) {
      const { status, body, headers } = await api.socket(path).opened;
      assert.deepEqual([status, body.code], [404, 'not_found'], path);
      assert.equal(headers['sprite-version'], 'v0.1.0');
    }
    assert.equal((await api.json('GET', '/v1/sprites/one/control')).status, 404);
  });

  it('are refused with 400 when the handshake is malformed, before anything is started', async () => {
    await using api = await open();
    for (const headers of [
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8',
    ]) {
      const answer = await rawRequest(
        api,
        `GET ${exec}?cmd=ls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.match(answer, /"code":"invalid_request"/);
    }
    assert.equal(api.service.sessions.size, 0);
  });

  it('have a limit', async () => {
    await using api = await open({ maxStreams: 1 });
    const socket = api.socket(`${exec}?cmd=sleep`);
    await socket.until((messages) => messages.length === 1);
    const { status, body } = await api.socket(`${exec}?cmd=sleep`).opened;
    assert.deepEqual([status, body.code, body.retryable], [429, 'too_many_sessions', true]);
    assert.equal((await api.json('POST', `${exec}?cmd=ls`)).status, 429);
    assert.equal(api.service.sessions.size, 1);
    api.session.exit(0);
    await socket.closed;
    await eventually(() => api.session.clients === 0);
    api.service.onStart = (session) => session.exit(0);
    assert.equal((await api.socket(`${exec}?cmd=true`).closed).code, 1000);
  });
});

/** Sends one raw frame on a new exec socket; the code of the server's close frame. */
async function rawFrame(api: ApiFixture, frame: Buffer): Promise<number> {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.write(
    `GET ${exec}?cmd=cat&stdin=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  let received = Buffer.alloc(0);
  let sent = false;
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    if (!sent && received.includes('session_info')) {
      sent = true;
      socket.write(frame);
    }
    const at = received.indexOf(0x88, received.indexOf('\r\n\r\n') + 4);
    if (sent && at >= 0 && received.length >= at + 4) {
      socket.destroy();
      return received.readUInt16BE(at + 2);
    }
  }
  throw new Error(`no close frame in ${received.toString('latin1')}`);
}

/** Everything the server answers to these bytes until it closes. */
async function rawRequest(api: ApiFixture, text: string): Promise<string> {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}
