import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { maxKeptInputBytes } from './input.ts';
import { SessionsFixture, never, request, until } from './testing/fixture.ts';
import { ScriptedGuest, connected } from './testing/scripted-guest.ts';

test('input arrives in order, its end behind it', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  void session.write(Buffer.from('one '));
  void session.write(Buffer.from('two '));
  await session.write(Buffer.from('three'));
  session.endInput();
  session.endInput();
  await until(() => guest.process('1').eof, 'the end of input');
  assert.equal(guest.process('1').input, 'one two three');
  await session.write(Buffer.from('dropped'));
  assert.equal(guest.process('1').input, 'one two three');
});

test('a process that does not read holds its writer back', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await until(() => session.pid > 0);
  const process = guest.process('1');
  process.readsInput = false;
  let done = false;
  const writing = session.write(Buffer.alloc(3 * maxKeptInputBytes, 'i')).then(() => (done = true));
  await sleep(30);
  assert.equal(done, false);
  assert.equal(process.inputReceived, maxKeptInputBytes);
  process.readsInput = true;
  process.readInput();
  await writing;
  assert.equal(process.input.length, 3 * maxKeptInputBytes);
});

test('input that was on its way when a stream or channel broke is repeated, not doubled', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  let expected = '';
  for (let i = 0; i < 30; i += 1) {
    const text = `piece ${i};`;
    expected += text;
    guest.process('1').readsInput = i % 3 !== 0;
    await session.write(Buffer.from(text));
    if (i % 4 === 1) guest.breakStreams();
    if (i % 7 === 5) {
      guest.breakChannels();
      await sessions.disconnect();
      await session.write(Buffer.from('offline;'));
      expected += 'offline;';
      await sessions.connect(guest.connect());
    }
  }
  session.endInput();
  await until(() => guest.process('1').eof, 'the end of input');
  assert.equal(guest.process('1').input, expected);
});

test('input of a restarted daemon goes on where the guest has got to', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const first = await fixture.open();
  await first.connect(guest.connect());
  const before = await first.start(request());
  await before.write(Buffer.from('before;'));
  await until(() => guest.process('1').input !== '');
  guest.breakChannels();
  const second = await fixture.open({ crashed: true });
  const after = second.get('1') ?? assert.fail();
  await after.write(Buffer.from('early;'));
  await second.connect(guest.connect());
  await after.write(Buffer.from('late;'));
  after.endInput();
  await until(() => guest.process('1').eof, 'the end of input');
  assert.equal(guest.process('1').input, 'before;early;late;');
});

test('writers are let go when the process ends; a process without input takes none', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await until(() => session.pid > 0);
  guest.process('1').readsInput = false;
  const writing = session.write(Buffer.alloc(2 * maxKeptInputBytes));
  guest.process('1').end(0);
  await writing;
  await session.write(Buffer.from('late'));
  const deaf = await sessions.start(request(['true'], { stdin: false }));
  await until(() => deaf.pid > 0);
  await deaf.write(Buffer.alloc(2 * maxKeptInputBytes));
  assert.equal(guest.process('2').inputReceived, 0);
});

test('a writer that waits is let go when the acknowledgements it waits for were lost with a stream', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await until(() => session.pid > 0);
  const process = guest.process('1');
  process.readsInput = false;
  const writing = session.write(Buffer.alloc(maxKeptInputBytes + 1, 'i'));
  await until(() => process.inputReceived === maxKeptInputBytes, 'the input');
  process.inputWritten = process.inputReceived;
  guest.breakStreams();
  await writing;
});

test('the input offset counts what the guest has and what waits for it, through broken streams and channels', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  assert.equal(await session.inputOffset({ signal: never }), 0);
  await until(() => session.pid > 0);
  const process = guest.process('1');
  process.readsInput = false;
  const writing = session.write(Buffer.alloc(maxKeptInputBytes + 100));
  void session.write(Buffer.alloc(50));
  const accepted = maxKeptInputBytes + 150;
  assert.equal(await session.inputOffset({ signal: never }), accepted, 'also what waits for its turn');
  guest.breakStreams();
  guest.breakChannels();
  await sessions.disconnect();
  assert.equal(await session.inputOffset({ signal: never }), accepted);
  process.readsInput = true;
  await sessions.connect(guest.connect());
  await writing;
  session.endInput();
  await session.write(Buffer.from('behind the end'));
  await until(() => process.eof, 'the end of input');
  assert.equal(process.input.length, accepted);
  assert.equal(await session.inputOffset({ signal: never }), accepted);
});

test('after a crash of the daemon the input offset is where the guest has got to, and a client that goes on from there loses and doubles nothing', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const input = Array.from({ length: 200 }, (_, index) => `piece ${index};`).join('');
  const first = await fixture.open();
  await first.connect(guest.connect());
  await first.start(request());
  for (let life = 0; life < 8; life += 1) {
    const sessions = life === 0 ? first : await fixture.open({ crashed: true });
    if (life > 0) await sessions.connect(guest.connect());
    const session = sessions.get('1') ?? assert.fail();
    const from = await session.inputOffset({ signal: never });
    assert.equal(from, guest.process('1').inputReceived);
    await session.write(Buffer.from(input.slice(from, from + 150)));
    await until(() => guest.process('1').inputReceived === from + 150, 'the input');
    guest.breakChannels();
    // Taken by this daemon, and gone with it.
    await session.write(Buffer.from(input.slice(from + 150, from + 200)));
    assert.equal(await session.inputOffset({ signal: never }), from + 200);
  }
  const sessions = await fixture.open({ crashed: true });
  await sessions.connect(guest.connect());
  const session = sessions.get('1') ?? assert.fail();
  await session.write(Buffer.from(input.slice(await session.inputOffset({ signal: never }))));
  session.endInput();
  await until(() => guest.process('1').eof, 'the end of input');
  assert.equal(guest.process('1').input, input);
});

test('the input offset waits for the guest of a session older than the daemon, no longer than it is asked to', async () => {
  await using fixture = await SessionsFixture.create();
  const guest = new ScriptedGuest();
  const first = await fixture.open();
  await first.connect(guest.connect());
  await (await first.start(request())).write(Buffer.from('before;'));
  await until(() => guest.process('1').input !== '');
  guest.breakChannels();
  const second = await fixture.open({ crashed: true });
  const session = second.get('1') ?? assert.fail();
  assert.equal(await session.inputOffset({ signal: AbortSignal.abort() }), undefined);
  const leaving = new AbortController();
  const asked = session.inputOffset({ signal: leaving.signal });
  leaving.abort();
  assert.equal(await asked, undefined);
  const told = session.inputOffset({ signal: never });
  await second.connect(guest.connect());
  assert.equal(await told, 7);
  const third = await fixture.open({ crashed: true });
  const lost = third.get('1') ?? assert.fail();
  const unknown = lost.inputOffset({ signal: never });
  await third.lose('the VM died');
  assert.equal(await unknown, undefined, 'nobody will know');
});

test('the input offset of an ended session is told by the next daemon too', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await session.write(Buffer.from('all of it'));
  await until(() => guest.process('1').input !== '');
  guest.process('1').end(3);
  await session.ended;
  assert.equal(await session.inputOffset({ signal: never }), 9);
  const later = (await fixture.open()).get('1') ?? assert.fail();
  assert.equal(later.end?.how, 'exited');
  assert.equal(await later.inputOffset({ signal: never }), 9);
});
