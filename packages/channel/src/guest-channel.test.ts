import assert from 'node:assert/strict';
import type http2 from 'node:http2';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestChannel } from '@sylph/engine';
import { ControlAndDataChannels } from './factory.ts';
import { plainResume as event } from './testing/events.ts';
import { FakeGuest, type FakeGuestBehaviour } from './testing/fake-guest.ts';

async function openChannel(
  behaviour: FakeGuestBehaviour,
): Promise<{ guest: FakeGuest; channel: GuestChannel } & AsyncDisposable> {
  const guest = await FakeGuest.start(behaviour);
  const channel = await new ControlAndDataChannels().connect(guest.sockets, {
    deadlineMs: 5000,
    signal: new AbortController().signal,
  });
  return {
    guest,
    channel,
    [Symbol.asyncDispose]: async () => {
      await channel.close();
      await guest[Symbol.asyncDispose]();
    },
  };
}

function answer(body: string, status = 200): FakeGuestBehaviour {
  return {
    stream: (stream) => {
      stream.respond({ ':status': status });
      stream.end(body);
    },
  };
}

async function settled<T>(promise: Promise<T>): Promise<T | 'pending'> {
  return Promise.race([promise, sleep(100).then(() => 'pending' as const)]);
}

test('resume tells the guest and opens the data session behind what an earlier life left', async () => {
  await using fixture = await openChannel({ staleBytes: Buffer.alloc(3_000_000, 'PRI * HTTP/2.0') });
  await fixture.channel.resume(event, { deadlineMs: 5000 });
  await fixture.channel.ping({ deadlineMs: 5000 });
  const resume = fixture.guest.lines.at(-1);
  assert.equal(resume?.op, 'resume');
  assert.equal(resume?.['spriteId'], 's');
  assert.match(String(resume?.['nonce']), /^[0-9a-f]{32}$/);
});

test('a data port without a nonce is given up after 8 MiB, or at the deadline', async () => {
  await using flooding = await openChannel({ staleBytes: Buffer.alloc(9 * 1024 * 1024) });
  await assert.rejects(flooding.channel.open({ deadlineMs: 20_000 }), { code: 'agent_failed', message: /no nonce/ });
  await using silent = await openChannel({ control: (line, socket, guest) => guest.reply(socket, line) });
  await assert.rejects(silent.channel.open({ deadlineMs: 100 }), {
    code: 'agent_failed',
    message: /within 100 ms: open/,
  });
});

test("a refused operation is an error with the guest's cleaned reason", async () => {
  await using fixture = await openChannel({
    control: (line, socket, guest) =>
      guest.reply(socket, line, line.op === 'hello' ? {} : { ok: false, error: 'disk\nfull' }),
  });
  await assert.rejects(fixture.channel.quiesce({ deadlineMs: 5000 }), {
    code: 'agent_failed',
    message: /refused quiesce: disk full/,
  });
  await assert.rejects(fixture.channel.open({ deadlineMs: 5000 }), { code: 'agent_failed', message: /refused open/ });
});

test('a guest that cuts its ports breaks the channel; later calls fail', async () => {
  await using fixture = await openChannel({});
  await fixture.channel.open({ deadlineMs: 5000 });
  fixture.guest.cut();
  assert.match(await fixture.channel.broken, /port closed|session failed/);
  await assert.rejects(fixture.channel.ping({ deadlineMs: 5000 }), { code: 'agent_failed' });
  await assert.rejects(fixture.channel.quiesce({ deadlineMs: 5000 }), { code: 'agent_failed' });
  assert.throws(() => fixture.channel.attachProcess('1', 0), { code: 'agent_failed' });
});

test('a guest that speaks no HTTP/2 on its data port fails the opening or breaks the channel', async () => {
  const rubbish = 'HTTP/1.1 400 Bad Request\r\n\r\n'.repeat(10);
  await using hasty = await openChannel({ rawData: (socket) => socket.write(rubbish) });
  await assert.rejects(
    hasty.channel.open({ deadlineMs: 5000 }).then(() => hasty.channel.ping({ deadlineMs: 5000 })),
    { code: 'agent_failed' },
  );
  await using fixture = await openChannel({ rawData: (socket) => setTimeout(() => socket.write(rubbish), 30) });
  await fixture.channel.open({ deadlineMs: 5000 });
  await assert.rejects(fixture.channel.ping({ deadlineMs: 5000 }), { code: 'agent_failed' });
  assert.match(await fixture.channel.broken, /data session failed|data port closed/);
});

test('a closed channel never says that it broke, and fails what is under way', async () => {
  await using fixture = await openChannel({ stream: () => {} });
  await fixture.channel.open({ deadlineMs: 5000 });
  const ping = fixture.channel.ping({ deadlineMs: 5000 });
  ping.catch(() => {});
  await sleep(20);
  await fixture.channel.close();
  await fixture.channel.close();
  await assert.rejects(ping, { code: 'agent_failed' });
  assert.equal(await settled(fixture.channel.broken), 'pending');
});

test('a request without an answer costs its deadline only', async () => {
  await using fixture = await openChannel({
    stream: (stream, headers) => headers[':path'] === '/v1/ping' || stream.respond({ ':status': 200 }),
  });
  await fixture.channel.open({ deadlineMs: 5000 });
  await assert.rejects(fixture.channel.ping({ deadlineMs: 80 }), { code: 'agent_failed', message: /within 80 ms/ });
  assert.equal(await settled(fixture.channel.broken), 'pending');
});

test('answers are checked and bounded', async () => {
  for (const body of ['', 'nonsense', '{"processes":[{"id":7}]}', '{"processes":null}']) {
    await using fixture = await openChannel(answer(body));
    await fixture.channel.open({ deadlineMs: 5000 });
    await assert.rejects(fixture.channel.processes(), { code: 'agent_failed', message: /cannot be read/ });
  }
  await using endless = await openChannel({
    stream: (stream) => {
      stream.respond({ ':status': 200 });
      const more = () => {
        while (!stream.destroyed && stream.write(Buffer.alloc(65_536, ' ')));
        stream.once('drain', more);
      };
      more();
    },
  });
  await endless.channel.open({ deadlineMs: 5000 });
  await assert.rejects(endless.channel.stats(), { code: 'agent_failed', message: /more than 1048576 bytes/ });
});

test('refusals keep their meaning', async () => {
  const cases = [
    [404, 'session_not_found'],
    [409, 'illegal_state'],
    [410, 'session_exited'],
    [500, 'agent_failed'],
  ] as const;
  for (const [status, code] of cases) {
    await using fixture = await openChannel(answer('{"error":"so\\u0000 it is","code":"EX"}', status));
    await fixture.channel.open({ deadlineMs: 5000 });
    await assert.rejects(fixture.channel.signalProcess('1', 'TERM'), { code, message: 'so it is' });
  }
});

test('forgetting an unknown process is fine', async () => {
  await using fixture = await openChannel(answer('{"error":"no such process"}', 404));
  await fixture.channel.open({ deadlineMs: 5000 });
  await fixture.channel.forgetProcess('9');
});

test('many streams at once wait for nothing', async () => {
  let open = 0;
  const all = Promise.withResolvers<void>();
  const streams: http2.ServerHttp2Stream[] = [];
  await using fixture = await openChannel({
    stream: (stream) => {
      streams.push(stream);
      open += 1;
      if (open === 1000) all.resolve();
    },
  });
  await fixture.channel.open({ deadlineMs: 5000 });
  const attached = Array.from({ length: 1000 }, (_, i) => fixture.channel.attachProcess(String(i), 0));
  await all.promise;
  for (const one of attached) one.close();
});
