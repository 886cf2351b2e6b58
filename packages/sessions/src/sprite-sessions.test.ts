import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, rename, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SylphError } from '@sylph/model';
import { SessionsFixture, never, readAll, request, until } from './testing/fixture.ts';
import { ScriptedGuest, failedStart, connected } from './testing/scripted-guest.ts';

test('a session shows output, exit and what it is', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['greet', '-v']));
  assert.deepEqual(sessions.list(), [session]);
  assert.deepEqual(sessions.positions(), [{ id: '1', endOffset: 0 }]);
  await until(() => session.pid === 101);
  assert.equal(session.resolvedPath, '/bin/greet');
  guest.process('1').print('hello\n').print('oh\n', 'stderr').end(3);
  const seen = await readAll(session);
  assert.deepEqual(
    { ...seen, end: { ...seen.end, at: '' } },
    { stdout: 'hello\n', stderr: 'oh\n', dropped: 0, end: { how: 'exited', code: 3, signal: null, at: '' } },
  );
  assert.equal(session.endOffset, 9);
  assert.ok(session.bytesPerSecond >= 9);
  assert.deepEqual(sessions.list(), []);
  assert.equal(sessions.get('1'), session);
  await until(() => guest.forgotten.includes('1'), 'forgetting');
  const record: unknown = JSON.parse(await readFile(path.join(fixture.dir, 'sessions/1/session.json'), 'utf8'));
  assert.deepEqual((record as { end: { code: number } }).end.code, 3);
});

test('a client that attaches after a fast exit gets everything, from any offset', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  guest.onStart = (process) => {
    process.print('all of it');
    process.end(0);
  };
  const sessions = await fixture.open();
  await sessions.connect(guest.connect());
  const session = await sessions.start(request());
  await session.ended;
  assert.equal((await readAll(session)).stdout, 'all of it');
  assert.equal((await readAll(session, 4)).stdout, 'of it');
  assert.equal((await readAll(session, 9)).end?.how, 'exited');
});

test('a program that cannot be started ends with 127 or 126, the reason in the output', async () => {
  const cases = [
    ['ENOENT', 127],
    ['ENOTDIR', 127],
    ['EACCES', 126],
    ['ENOEXEC', 126],
    ['EAGAIN', 126],
  ] as const;
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  for (const [errno, code] of cases) {
    guest.onStart = () => {
      throw failedStart(errno, `frob: ${errno}`);
    };
    const session = await sessions.start(request(['frob']));
    const seen = await readAll(session);
    assert.equal(seen.stderr, `sylph: frob: ${errno}\n`);
    assert.equal(seen.end?.how, 'not-started');
    assert.equal(seen.end?.how === 'not-started' && seen.end.code, code);
    assert.equal(seen.end?.how === 'not-started' && seen.end.reason, `frob: ${errno}`);
  }
});

test('what a guest may forget is acknowledged once it is in the file, also when it falls silent', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  await sessions.start(request());
  guest.process('1').print('x'.repeat(10));
  await until(() => guest.process('1').acked === 10, 'the acknowledgement');
  const [segment] = (await readdir(path.join(fixture.dir, 'sessions/1'))).filter((name) => name.endsWith('.log'));
  assert.ok((await readFile(path.join(fixture.dir, 'sessions/1', segment as string))).includes('xxxxxxxxxx'));
});

test('a broken stream is opened again where the journal ends, while its readers wait', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  const reading = readAll(session);
  let expected = '';
  for (let i = 0; i < 5; i += 1) {
    const text = `line ${i}\n`;
    expected += text;
    guest.process('1').print(text);
    if (i % 2 === 0) await sleep(5);
    guest.breakStreams();
    await until(() => guest.process('1').stream !== undefined, 'a new stream');
  }
  guest.process('1').end(0);
  assert.equal((await reading).stdout, expected);
});

test('when the channel breaks, sessions wait for the next one; clients stay', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  const reading = readAll(session);
  guest.process('1').print('before, ');
  await until(() => session.endOffset === 8);
  guest.breakChannels();
  await sleep(5);
  await assert.rejects(sessions.start(request()), { code: 'not_ready' });
  await assert.rejects(session.signal('TERM'), { code: 'not_ready' });
  guest.process('1').print('meanwhile, ');
  await sessions.disconnect();
  await sessions.connect(guest.connect());
  guest.process('1').print('after').end(0);
  assert.equal((await reading).stdout, 'before, meanwhile, after');
});

test('connecting sorts out what runs: known goes on, exited is collected, missing is lost, strangers are killed and forgotten', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const [runs, exits, vanishes] = [
    await sessions.start(request()),
    await sessions.start(request()),
    await sessions.start(request()),
  ];
  await until(() => vanishes.pid > 0);
  guest.breakChannels();
  await sessions.disconnect();
  guest.process('2').print('last words').end(9);
  guest.processes.delete('3');
  const stranger = guest.connect();
  stranger.startProcess({ ...guest.process('1').spec, id: '77' });
  stranger.startProcess({ ...guest.process('1').spec, id: '78' });
  guest.process('78').end(0);
  await sessions.connect(guest.connect());
  assert.equal((await vanishes.ended).how, 'lost');
  assert.equal((await readAll(exits)).stdout, 'last words');
  assert.deepEqual({ ...(await exits.ended), at: '' }, { how: 'exited', code: 9, signal: null, at: '' });
  await until(() => ['2', '77', '78'].every((id) => guest.forgotten.includes(id)), 'forgetting');
  assert.equal(runs.end, undefined);
  assert.ok(fixture.notices.some((notice) => notice.includes('without a session')));
});

test('output the journal lacks and the guest has forgotten is told as dropped, not made up', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await until(() => session.pid > 0);
  guest.breakChannels();
  await sessions.disconnect();
  guest.process('1').print('gone').ack(4);
  guest.process('1').print('here').end(0);
  await sessions.connect(guest.connect());
  const seen = await readAll(session);
  assert.equal(seen.stdout, 'here');
  assert.equal(seen.dropped, 4);
});

test('a daemon that is killed and started again goes on where the journals end', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const first = await fixture.open();
  await first.connect(guest.connect());
  const before = await first.start(request(['keep', 'going']));
  const done = await first.start(request(['done']));
  guest.process('1').print('one ');
  guest.process('2').print('finished').end(4);
  await done.ended;
  await done.recorded;
  await until(() => guest.process('1').acked === 4);
  guest.breakChannels();
  guest.process('1').print('two ');
  const second = await fixture.open({ crashed: true });
  const after = second.get('1');
  assert.ok(after !== undefined && after !== before);
  assert.deepEqual(after.request, before.request);
  assert.deepEqual(second.positions(), [{ id: '1', endOffset: 4 }]);
  assert.equal((await readAll(second.get('2') ?? assert.fail())).stdout, 'finished');
  await second.connect(guest.connect());
  guest.process('1').print('three').end(0);
  assert.equal((await readAll(after)).stdout, 'one two three');
});

test('what lies in the directory and is no session is put aside or swept, never in the way', async () => {
  await using fixture = await SessionsFixture.create();
  const dir = path.join(fixture.dir, 'sessions');
  await mkdir(path.join(dir, '3'), { recursive: true });
  await mkdir(path.join(dir, '4'));
  await mkdir(path.join(dir, '5'));
  await mkdir(path.join(dir, 'rm-abc'));
  await writeFile(path.join(dir, 'a file'), 'x');
  await writeFile(path.join(dir, '4/session.json'), '{"version":1');
  await writeFile(path.join(dir, '5/session.json'), '{"version":2,"id":"5"}');
  const sessions = await fixture.open();
  assert.deepEqual(sessions.list(), []);
  assert.deepEqual((await readdir(dir)).toSorted(), ['quarantine']);
  assert.deepEqual((await readdir(path.join(dir, 'quarantine'))).map((name) => name.replace(/-\w+$/, '')).toSorted(), [
    '4',
    '5',
    'a file',
  ]);
  assert.equal(fixture.notices.length, 3);
});

test('a torn tail is cut off and fetched again from the guest', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const first = await fixture.open();
  await first.connect(guest.connect());
  const session = await first.start(request());
  guest.process('1').print('written ');
  await until(() => guest.process('1').acked === 8);
  const process = guest.process('1');
  process.ack = () => {};
  process.print('torn');
  await until(() => session.endOffset === 12);
  await session.journal.flush();
  guest.breakChannels();
  const dir = path.join(fixture.dir, 'sessions/1');
  const [segment] = (await readdir(dir)).filter((name) => name.endsWith('.log'));
  await truncate(path.join(dir, segment as string), 20 + 8 + 20 + 2);
  const second = await fixture.open({ crashed: true });
  await second.connect(guest.connect());
  process.end(0);
  assert.equal((await readAll(second.get('1') ?? assert.fail())).stdout, 'written torn');
});

test('lost sessions say why, keep their output and never get an exit code', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  guest.process('1').print('so far');
  await until(() => session.endOffset === 6);
  const reading = readAll(session);
  await sessions.disconnect();
  await sessions.lose('its VM died');
  const seen = await reading;
  assert.equal(seen.stdout, 'so far');
  assert.deepEqual({ ...seen.end, at: '' }, { how: 'lost', reason: 'its VM died', at: '' });
  await assert.rejects(session.signal('TERM'), { code: 'session_exited' });
  const again = await fixture.open();
  assert.equal(again.get('1')?.end?.how, 'lost');
});

test('starting is refused where it cannot work', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const sessions = await fixture.open();
  await assert.rejects(sessions.start(request()), { code: 'not_ready' });
  await sessions.connect(guest.connect());
  await assert.rejects(sessions.start(request(['x', 'y'.repeat(70_000)])), { code: 'invalid_request' });
  assert.deepEqual(sessions.list(), []);
  await mkdir(path.join(fixture.dir, 'sessions/2'));
  await assert.rejects(sessions.start(request()), { code: 'internal' });
  assert.deepEqual(sessions.list(), []);
  assert.equal(sessions.get('2'), undefined);
  await until(
    () => guest.processes.size === 0 && guest.forgotten.includes('2'),
    'killing the process without a record',
  );
});

test('a sprite runs at most 1,000 sessions', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const started = await Promise.all(Array.from({ length: 1000 }, () => sessions.start(request())));
  await assert.rejects(sessions.start(request()), { code: 'too_many_sessions' });
  guest.process('500').end(0);
  await started.find((session) => session.id === '500')?.ended;
  await sessions.start(request());
});

test('activity counts clients and output; it is told at once, then at most every 100 ms', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  assert.deepEqual(sessions.activity(), { clients: 0, jobs: 0, lastOutputAt: 0 });
  const calls = fixture.activityCalls;
  const client = session.attach();
  assert.equal(fixture.activityCalls, calls + 1);
  assert.equal(session.clients, 1);
  assert.equal(sessions.activity().clients, 1);
  for (let i = 0; i < 50; i += 1) guest.process('1').print('x');
  await until(() => session.endOffset === 50);
  assert.ok(performance.now() - sessions.activity().lastOutputAt < 5000);
  client[Symbol.dispose]();
  client[Symbol.dispose]();
  assert.equal(sessions.activity().clients, 0);
  assert.ok(fixture.activityCalls <= calls + 3);
  await until(() => fixture.activityCalls > calls + 1, 'the call for what came last');
});

test('a signal waits for the start, goes to the guest, and is refused after the end', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await session.signal('USR1');
  assert.deepEqual(guest.process('1').signals, ['USR1']);
  guest.process('1').stream = undefined;
  guest.process('1').end(0);
  await assert.rejects(session.signal('TERM'), { code: 'session_exited' });
});

test('a size set while nobody could be told reaches the terminal later', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['sh'], { tty: { cols: 80, rows: 24 } }));
  await until(() => session.pid > 0);
  session.resize({ cols: 100, rows: 30 });
  assert.deepEqual(guest.process('1').size, { cols: 100, rows: 30 });
  guest.breakChannels();
  await sessions.disconnect();
  session.resize({ cols: 120, rows: 40 });
  assert.deepEqual(session.size, { cols: 120, rows: 40 });
  await sessions.connect(guest.connect());
  await until(() => guest.process('1').size?.cols === 120, 'the new size');
});

test('disposing ends readers and keeps running sessions for the next daemon', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  guest.process('1').print('kept');
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of session.read({ offset: 0, signal: never }))
      if (event.type === 'output') seen.push(event.bytes.toString());
  })();
  await until(() => seen.length > 0);
  const again = await fixture.open();
  await reading;
  assert.deepEqual(again.positions(), [{ id: '1', endOffset: 4 }]);
  await assert.rejects(
    sessions.start(request()),
    (error) => error instanceof SylphError && error.code === 'shutting_down',
  );
});

test('an end that cannot be recorded yet is shown at once, recorded later, and the guest remembers it until then', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  const reading = readAll(session);
  await until(() => session.inUse, 'the reader');
  guest.process('1').print('some output');
  await until(() => guest.process('1').acked > 0);
  const dir = path.join(fixture.dir, 'sessions/1');
  await rename(dir, `${dir}-away`);
  guest.process('1').print(', and the last').end(3);
  assert.equal((await reading).stdout, 'some output, and the last');
  await until(() => fixture.notices.length > 0, 'a notice');
  assert.deepEqual(guest.forgotten, []);
  await rename(`${dir}-away`, dir);
  await until(() => guest.forgotten.includes('1'), 'forgetting');
  assert.equal((await fixture.open()).get('1')?.end?.how, 'exited');
});
