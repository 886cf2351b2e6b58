import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SessionsFixture, never, readAll, request, until } from './testing/fixture.ts';
import { connected } from './testing/scripted-guest.ts';

test('a transient session has no files, is in no snapshot, and goes on over a break of the channel', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['cat'], { transient: true, stdin: true }));
  await until(() => session.pid > 0);
  assert.deepEqual(sessions.list(), [session]);
  assert.deepEqual(sessions.positions(), []);
  const reading = readAll(session);
  const process = guest.process('1').print('before ');
  await until(() => process.acked === 7, 'an acknowledgement without a file');
  await sessions.disconnect();
  guest.process('1').print('while ');
  await session.write(Buffer.from('in'));
  await sessions.connect(guest.connect());
  guest.process('1').print('after').end(0);
  const { stdout, end } = await reading;
  assert.equal(stdout, 'before while after');
  assert.equal(end?.how, 'exited');
  assert.equal(process.input, 'in');
  assert.deepEqual(await readdir(path.join(fixture.dir, 'sessions')), []);
});

test('output of a transient session waits for its reader, bounded, and is forgotten when it has been read', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['yes'], { transient: true }));
  await until(() => session.pid > 0);
  const piece = Buffer.alloc(64 * 1024, 'y');
  const pieces = 100;
  for (let i = 0; i < pieces; i += 1) guest.process('1').print(piece);
  guest.process('1').end(0);
  await sleep(100);
  const held = session.endOffset;
  assert.ok(held >= 2 * 1024 * 1024 && held < 3 * 1024 * 1024, `${held} bytes are held`);
  let bytes = 0;
  for await (const event of session.read({ offset: 0, signal: never }))
    if (event.type === 'output') bytes += event.bytes.length;
  assert.equal(bytes, pieces * piece.length);
  assert.equal((await readAll(session)).dropped, bytes, 'nothing is left for another');
});

test('a transient session ends with its daemon: its process is a stranger to the next', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  await sessions.start(request(['cat'], { transient: true }));
  const kept = await sessions.start(request(['sh'], { tty: { cols: 80, rows: 24 } }));
  await until(() => kept.pid > 0);
  const next = await fixture.open({ crashed: true });
  await next.connect(guest.connect());
  assert.deepEqual(
    next.list().map(({ id }) => id),
    [kept.id],
  );
  await until(() => guest.process('1').signals.includes('KILL'), 'its end');
});

test('a client under which the sprite may sleep is no client to the idle rule, but stops the clock', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['sh'], { maxRunAfterDisconnectMs: 60 }));
  const quiet = session.attach({ awake: false });
  assert.equal(sessions.activity().clients, 0);
  const loud = session.attach();
  assert.equal(sessions.activity().clients, 1);
  loud[Symbol.dispose]();
  await sleep(150);
  assert.deepEqual(guest.process('1').signals, []);
  quiet[Symbol.dispose]();
  await until(() => guest.process('1').signals.includes('TERM'), 'the signal');
});
