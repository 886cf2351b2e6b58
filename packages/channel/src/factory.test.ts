import assert from 'node:assert/strict';
import { rename, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlAndDataChannels } from './factory.ts';
import { plainResume as event } from './testing/events.ts';
import { FakeGuest } from './testing/fake-guest.ts';

const channels = new ControlAndDataChannels();
const never = new AbortController().signal;

test('hello is answered: texts are cleaned and cut', async () => {
  await using guest = await FakeGuest.start({
    control: (line, socket, self) =>
      self.reply(socket, line, { agent: 'bad\u001b[31m\nagent', kernel: 'k'.repeat(100) }),
  });
  await using channel = await channels.connect(guest.sockets, { deadlineMs: 5000, signal: never });
  assert.deepEqual(channel.hello, { version: 1, agent: 'bad [31m agent', kernel: 'k'.repeat(100), bootId: 'boot' });
});

test('a guest that starts from memory is told of it at once, behind what an earlier life left', async () => {
  let connections = 0;
  await using guest = await FakeGuest.start({
    staleBytes: Buffer.alloc(100_000, 'PRI * HTTP/2.0'),
    controlConnected: (socket) => {
      connections += 1;
      if (connections === 1) socket.destroy();
    },
  });
  await using channel = await channels.wake(guest.sockets, event, { deadlineMs: 10_000, signal: never });
  assert.deepEqual(
    guest.lines.map((line) => line.op),
    ['resume'],
  );
  assert.equal(channel.hello.agent, 'fake 1');
  await channel.ping({ deadlineMs: 5000 });
});

test('a guest that refuses to go on, speaks another version, or is silent fails the start', async () => {
  await using refusing = await FakeGuest.start({
    control: (line, socket, self) => self.reply(socket, line, { ok: false, error: 'clock: EPERM' }),
  });
  const options = { deadlineMs: 5000, signal: never };
  await assert.rejects(channels.wake(refusing.sockets, event, options), {
    code: 'agent_failed',
    message: /clock: EPERM/,
  });
  await using newer = await FakeGuest.start({
    control: (line, socket, self) => self.reply(socket, line, { version: 2 }),
  });
  await assert.rejects(channels.wake(newer.sockets, event, options), /version 2/);
  await using silent = await FakeGuest.start({ control: () => {} });
  await assert.rejects(channels.wake(silent.sockets, event, { deadlineMs: 100, signal: never }), {
    code: 'agent_failed',
  });
});

test('a guest whose port opens late, and that is not ready at first, is waited for', async () => {
  let asked = 0;
  await using guest = await FakeGuest.start({
    control: (line, socket, self) => {
      asked += 1;
      if (asked > 3) self.reply(socket, line, { ready: asked > 6 });
    },
  });
  const hidden = `${guest.sockets.control}.hidden`;
  await rename(guest.sockets.control, hidden);
  const connecting = channels.connect(guest.sockets, { deadlineMs: 10_000, signal: never });
  await sleep(50);
  await rename(hidden, guest.sockets.control);
  await using channel = await connecting;
  assert.equal(channel.hello.version, 1);
  assert.ok(new Set(guest.lines.map((line) => line.id)).size < guest.lines.length, 'hello is repeated with its id');
});

test('a port that closes before the guest is ready is connected again', async () => {
  let connections = 0;
  await using guest = await FakeGuest.start({
    controlConnected: (socket) => {
      connections += 1;
      if (connections < 4) socket.destroy();
    },
  });
  await using channel = await channels.connect(guest.sockets, { deadlineMs: 10_000, signal: never });
  assert.equal(channel.hello.agent, 'fake 1');
  assert.equal(connections, 4);
});

test('garbage, halves of lines, wrong ids and over-long lines in front of the answer are ignored', async () => {
  await using guest = await FakeGuest.start({
    controlConnected: (socket) =>
      socket.write(
        'half of an earlier line","ok":true}\n{"id":"wrong","ok":true,"ready":true}\n[1,2]\nnull\n{"id":7}\n',
      ),
    control: (line, socket, self) => {
      socket.write(`${'x'.repeat(70_000)}\n`);
      socket.write(Buffer.from([0xff, 0xfe, 0x00, 0x0a]));
      self.reply(socket, line);
    },
  });
  await using channel = await channels.connect(guest.sockets, { deadlineMs: 5000, signal: never });
  assert.equal(channel.hello.agent, 'fake 1');
});

test('a guest that floods its control port is dropped', async () => {
  await using guest = await FakeGuest.start({
    control: (_line, socket) => {
      const flood = () => {
        while (!socket.destroyed && socket.write('{"id":"nobody","ok":true}\n'.repeat(1000)));
        socket.once('drain', flood);
      };
      flood();
    },
  });
  await assert.rejects(channels.connect(guest.sockets, { deadlineMs: 20_000, signal: never }), {
    code: 'agent_failed',
    message: /answer nothing/,
  });
});

test('a guest that never answers costs the deadline', async () => {
  await using guest = await FakeGuest.start({ control: () => {} });
  await assert.rejects(channels.connect(guest.sockets, { deadlineMs: 120, signal: never }), {
    code: 'agent_failed',
    message: /within 120 ms: hello/,
  });
});

test('a guest that refuses, or speaks another version, is not asked again', async () => {
  await using refusing = await FakeGuest.start({
    control: (line, socket, self) => self.reply(socket, line, { ok: false, error: 'no\u0007pe' }),
  });
  await assert.rejects(channels.connect(refusing.sockets, { deadlineMs: 5000, signal: never }), {
    code: 'agent_failed',
    message: /refused hello: no pe/,
  });
  await using newer = await FakeGuest.start({
    control: (line, socket, self) => self.reply(socket, line, { version: 2 }),
  });
  await assert.rejects(channels.connect(newer.sockets, { deadlineMs: 5000, signal: never }), {
    code: 'agent_failed',
    message: /version 2/,
  });
});

test('no socket at all costs the deadline; an abort ends it with its reason', async () => {
  const nowhere = { control: '/tmp/sylph-no-such-dir/control', data: '/tmp/sylph-no-such-dir/data' };
  await rm('/tmp/sylph-no-such-dir', { recursive: true, force: true });
  await assert.rejects(channels.connect(nowhere, { deadlineMs: 60, signal: never }), { code: 'agent_failed' });
  const controller = new AbortController();
  const connecting = channels.connect(nowhere, { deadlineMs: 10_000, signal: controller.signal });
  controller.abort(new Error('changed my mind'));
  await assert.rejects(connecting, /changed my mind/);
  await assert.rejects(channels.connect(nowhere, { deadlineMs: 10_000, signal: controller.signal }), /changed my mind/);
});
