import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { SessionsFixture, request, until } from './testing/fixture.ts';
import { connected } from './testing/scripted-guest.ts';

test('a process nobody attaches to, or whose last client left, is asked to end and then killed', async (t) => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const passTime = async (done: () => boolean) => {
    while (!done()) {
      t.mock.timers.tick(50);
      await turn();
    }
  };
  const plain = await sessions.start(request(['a'], { maxRunAfterDisconnectMs: 30 }));
  await passTime(() => guest.process('1').signals.includes('TERM'));
  t.mock.timers.tick(9_000);
  await turn();
  assert.deepEqual(guest.process('1').signals, ['TERM']);
  t.mock.timers.tick(1_000);
  assert.deepEqual({ ...(await plain.ended), at: '' }, { how: 'exited', code: 137, signal: 'KILL', at: '' });

  const terminal = await sessions.start(request(['b'], { tty: { cols: 80, rows: 24 }, maxRunAfterDisconnectMs: 30 }));
  const client = terminal.attach();
  t.mock.timers.tick(500);
  await turn();
  guest.process('2').onSignal = () => guest.process('2').end(129, 'HUP');
  client[Symbol.dispose]();
  await passTime(() => terminal.end !== undefined);
  assert.deepEqual(guest.process('2').signals, ['HUP']);
  t.mock.timers.reset();
});

test('a client that comes in time stops the clock; so does one that comes between the signal and the kill', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['a'], { maxRunAfterDisconnectMs: 60 }));
  const client = session.attach();
  await sleep(100);
  assert.deepEqual(guest.process('1').signals, []);
  client[Symbol.dispose]();
  const next = session.attach();
  await sleep(100);
  assert.deepEqual(guest.process('1').signals, []);
  next[Symbol.dispose]();
  await until(() => guest.process('1').signals.length > 0, 'the signal');
});

test('the clock stands still while the guest is out of reach', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['a'], { maxRunAfterDisconnectMs: 80 }));
  await until(() => session.pid > 0);
  await sessions.disconnect();
  await sleep(120);
  assert.deepEqual(guest.process('1').signals, []);
  await sessions.connect(guest.connect());
  await until(() => guest.process('1').signals.includes('TERM'), 'the signal');
});

test('a session without a limit is left alone', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request());
  session.attach()[Symbol.dispose]();
  await sleep(50);
  assert.deepEqual(guest.process('1').signals, []);
});
