import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlAndDataChannels } from '@sylph/channel';
import { RealAgent, Relay } from '@sylph/channel/testing';
import type { GuestChannel, Session } from '@sylph/engine';
import type { JournaledSessions } from './sprite-sessions.ts';
import { SessionsFixture, never, readAll, request } from './testing/fixture.ts';

let agent: RealAgent;
before(async () => {
  agent = await RealAgent.start();
});
after(() => agent[Symbol.asyncDispose]());

async function openChannel(sockets: { data: string; control: string }): Promise<GuestChannel> {
  const channel = await new ControlAndDataChannels().connect(sockets, { deadlineMs: 20_000, signal: never });
  await channel.open({ deadlineMs: 20_000 });
  return channel;
}

/** SHA-256 and length of what a client reads. */
async function digest(session: Session): Promise<{ hex: string; bytes: number; how: string | undefined }> {
  const hash = createHash('sha256');
  let bytes = 0;
  let how: string | undefined;
  for await (const event of session.read({ offset: 0, signal: never })) {
    if (event.type === 'output') {
      assert.equal(event.offset, bytes);
      hash.update(event.bytes);
      bytes += event.bytes.length;
    } else if (event.type === 'dropped') assert.fail('output was dropped under a reader');
    else how = event.end.how;
  }
  return { hex: hash.digest('hex'), bytes, how };
}

/** What `seq 1 count` prints. */
function sequence(count: number): { hex: string; bytes: number } {
  const hash = createHash('sha256');
  let bytes = 0;
  for (let at = 1; at <= count;) {
    const lines: number[] = [];
    for (; at <= count && lines.length < 10_000; at += 1) lines.push(at);
    const text = `${lines.join('\n')}\n`;
    hash.update(text);
    bytes += text.length;
  }
  return { hex: hash.digest('hex'), bytes };
}

test('two thousand fast commands lose no output and no exit code', async () => {
  await using fixture = await SessionsFixture.create(10_000);
  await using channel = await openChannel(agent.sockets);
  const sessions = await fixture.open();
  await sessions.connect(channel);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < 2000; i = next++) {
      const session = await sessions.start(
        request(['sh', '-c', `echo ${i}; echo e${i} >&2; exit ${i % 256}`], { stdin: false }),
      );
      if (i % 3 === 0) await session.ended;
      const seen = await readAll(session);
      assert.equal(seen.stdout, `${i}\n`);
      assert.equal(seen.stderr, `e${i}\n`);
      assert.equal(seen.end?.how === 'exited' && seen.end.code, i % 256);
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  for (let left = 1; left > 0; left = (await channel.processes()).length) await sleep(20);
});

test('200 MB arrive unchanged', async () => {
  await using fixture = await SessionsFixture.create(20_000);
  await using channel = await openChannel(agent.sockets);
  const sessions = await fixture.open();
  await sessions.connect(channel);
  const expected = sequence(23_500_000);
  assert.ok(expected.bytes > 200e6);
  const session = await sessions.start(request(['seq', '1', '23500000'], { stdin: false }));
  assert.deepEqual(await digest(session), { ...expected, how: 'exited' });
});

test('a conversation cut at random bytes goes on to the same output', async () => {
  await using fixture = await SessionsFixture.create(30_000);
  await using relay = await Relay.start(agent.dir, agent.sockets);
  const sessions = await fixture.open();
  let channel = await openChannel(relay.sockets);
  await sessions.connect(channel);
  const expected = sequence(4_000_000);
  const session = await sessions.start(request(['seq', '1', '4000000'], { stdin: false }));
  const reading = digest(session);
  let cuts = 0;
  for (; session.end === undefined; cuts += 1) {
    relay.cutAfter(1 + Math.floor(Math.random() * 3e6));
    const outcome = await Promise.race([channel.broken, session.ended]);
    if (typeof outcome !== 'string') break;
    relay.cutAfter(Infinity);
    await sessions.disconnect();
    await channel.close();
    channel = await openChannel(relay.sockets);
    await sessions.connect(channel);
  }
  assert.deepEqual(await reading, { ...expected, how: 'exited' });
  assert.ok(cuts > 3, `${cuts} cuts`);
  await sessions.disconnect();
  await channel.close();
});

test('a reader that does not read holds the process back; nothing is dropped under it', async () => {
  await using fixture = await SessionsFixture.create(40_000);
  await using channel = await openChannel(agent.sockets);
  const sessions = await fixture.open();
  await sessions.connect(channel);
  const session = await sessions.start(request(['head', '-c', '150000000', '/dev/zero'], { stdin: false }));
  const reader = session.read({ offset: 0, signal: never })[Symbol.asyncIterator]();
  const first = await reader.next();
  let before = -1;
  while (before !== session.endOffset) {
    before = session.endOffset;
    await sleep(500);
  }
  assert.ok(before < 80e6, `${before} bytes were taken for a reader that does not read`);
  assert.equal(session.end, undefined);
  let bytes = first.value?.type === 'output' ? first.value.bytes.length : 0;
  for (let next = await reader.next(); !next.done; next = await reader.next()) {
    if (next.value.type === 'output') bytes += next.value.bytes.length;
    else assert.equal(next.value.type, 'end');
  }
  assert.equal(bytes, 150_000_000);
});

test('without readers the process runs on and the journal keeps the newest output', async () => {
  await using fixture = await SessionsFixture.create(50_000);
  await using channel = await openChannel(agent.sockets);
  const sessions = await fixture.open();
  await sessions.connect(channel);
  const session = await sessions.start(request(['head', '-c', '150000000', '/dev/zero'], { stdin: false }));
  await session.ended;
  const seen = await readAll(session);
  assert.equal(seen.dropped + seen.stdout.length, 150_000_000);
  assert.ok(seen.stdout.length >= 48e6 && seen.stdout.length <= 68e6, `${seen.stdout.length} bytes were kept`);
});

test('input passes through a real process while the conversation is cut', async () => {
  await using fixture = await SessionsFixture.create(60_000);
  await using relay = await Relay.start(agent.dir, agent.sockets);
  const sessions = await fixture.open();
  let channel = await openChannel(relay.sockets);
  await sessions.connect(channel);
  const session = await sessions.start(request(['cat']));
  const reading = digest(session);
  const sent = createHash('sha256');
  let bytes = 0;
  const writing = (async () => {
    for (let i = 0; i < 120; i += 1) {
      const piece = Buffer.alloc(40_000, i % 251);
      sent.update(piece);
      bytes += piece.length;
      await session.write(piece);
    }
    session.endInput();
  })();
  for (let i = 0; i < 4; i += 1) {
    await sleep(30);
    relay.cutAfter(0);
    await channel.broken;
    await sessions.disconnect();
    await channel.close();
    channel = await openChannel(relay.sockets);
    await sessions.connect(channel);
  }
  await writing;
  assert.deepEqual(await reading, { hex: sent.digest('hex'), bytes, how: 'exited' });
  await sessions.disconnect();
  await channel.close();
});

test('input nobody reads and output nobody acknowledges do not block each other across a restart', async () => {
  await using fixture = await SessionsFixture.create(70_000);
  const connect = async (sessions: JournaledSessions) => {
    const channel = await openChannel(agent.sockets);
    await sessions.connect(channel);
    return channel;
  };
  let sessions = await fixture.open();
  let channel = await connect(sessions);
  const first = await sessions.start(request(['sh', '-c', 'sleep 1; head -c 5000000 /dev/zero; wc -c']));
  void first.write(Buffer.alloc(2_000_000));
  await sleep(200);
  await sessions.disconnect();
  await channel.close();
  sessions = await fixture.open();
  channel = await connect(sessions);
  const session = sessions.get(first.id) ?? assert.fail();
  void session.write(Buffer.alloc(2_000_000)).then(() => session.endInput());
  const seen = await readAll(session);
  assert.equal(seen.stdout.length, 5_000_000 + seen.stdout.slice(5_000_000).length);
  assert.ok(Number(seen.stdout.slice(5_000_000)) >= 2_000_000);
  await sessions.disconnect();
  await channel.close();
});

test('a client that sends again what lies behind the input offset loses and doubles no byte, however often the daemon is lost', async () => {
  await using fixture = await SessionsFixture.create(90_000);
  await using relay = await Relay.start(agent.dir, agent.sockets);
  const input = Buffer.alloc(6_000_000);
  for (let at = 0; at < input.length; at += 4) input.writeUInt32LE(at, at);
  const offsets: number[] = [];
  let sessions = await fixture.open();
  let channel = await openChannel(relay.sockets);
  await sessions.connect(channel);
  // Slower than its input: some of it always waits here and in the agent.
  const { id } = await sessions.start(
    request(['sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do head -c 500000; sleep 0.05; done; cat']),
  );
  for (let life = 0; ; life += 1) {
    const session = sessions.get(id) ?? assert.fail();
    const from = (await session.inputOffset({ signal: never })) ?? assert.fail();
    offsets.push(from);
    if (life < 6) relay.cutAfter(200_000 + Math.floor(Math.random() * 700_000));
    const reading = life < 6 ? undefined : digest(session);
    // As a client does that does not know yet that nobody is there.
    const writing = (async () => {
      for (let at = from; at < input.length; at += 50_000) await session.write(input.subarray(at, at + 50_000));
      session.endInput();
    })();
    if (reading !== undefined) {
      await writing;
      assert.deepEqual(await reading, {
        hex: createHash('sha256').update(input).digest('hex'),
        bytes: input.length,
        how: 'exited',
      });
      break;
    }
    await channel.broken;
    relay.cutAfter(Infinity);
    await channel.close();
    sessions = await fixture.open({ crashed: true });
    channel = await openChannel(relay.sockets);
    await sessions.connect(channel);
  }
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
  assert.ok(new Set(offsets).size > 2, `input got to ${offsets.join()}`);
  await sessions.disconnect();
  await channel.close();
});

test('kill -9 of the daemon at any moment costs no byte', async () => {
  await using fixture = await SessionsFixture.create(80_000);
  const dir = path.join(fixture.dir, 'sessions');
  const count = 3_000_000;
  for (let life = 0; life < 6; life += 1) {
    const argv =
      life === 0 ? ['sh', '-c', `for i in 1 2 3 4 5 6; do seq $(((i-1)*500000+1)) $((i*500000)); sleep 0.3; done`] : [];
    const daemon = spawn(
      process.execPath,
      [
        ...process.execArgv.filter((arg) => !arg.startsWith('--test')),
        path.join(import.meta.dirname, 'testing/daemon.ts'),
        agent.sockets.data,
        agent.sockets.control,
        dir,
        '80000',
        ...argv,
      ],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    await once(daemon.stdout, 'data');
    await sleep(Math.random() * 250);
    daemon.kill('SIGKILL');
    await once(daemon, 'close');
  }
  await using channel = await openChannel(agent.sockets);
  const sessions = await fixture.open();
  await sessions.connect(channel);
  assert.deepEqual(await digest(sessions.get('80000') ?? assert.fail()), { ...sequence(count), how: 'exited' });
});
