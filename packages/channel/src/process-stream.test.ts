import assert from 'node:assert/strict';
import type http2 from 'node:http2';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type GuestChannel, type ProcessEvent, ProcessStartError, type ProcessStream } from '@sylph/engine';
import {
  FrameDecoder,
  type ProcessSpec,
  decodeOffsetPayload,
  encodeFrame,
  encodeOffsetFrame,
  frameHeader,
  frameType,
} from '@sylph/model';
import { ControlAndDataChannels } from './factory.ts';
import { FakeGuest } from './testing/fake-guest.ts';

const spec: ProcessSpec = {
  id: '1',
  argv: ['true'],
  path: 'true',
  env: {},
  dir: '/',
  user: 'root',
  tty: null,
  stdin: true,
};

const json = (type: number, value: unknown) => encodeFrame(type, Buffer.from(JSON.stringify(value)));
const started = json(frameType.started, { pid: 7, path: '/bin/tr\u0007ue', inputOffset: 0, outputOffset: 0 });
const exitAt = (outputOffset: number) => json(frameType.exit, { code: 3, signal: null, outputOffset });
const stdout = (offset: number, text: string) => encodeOffsetFrame(frameType.stdout, offset, Buffer.from(text));

type Script = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

async function openChannel(script: Script): Promise<{ guest: FakeGuest; channel: GuestChannel } & AsyncDisposable> {
  const guest = await FakeGuest.start({ stream: script });
  const channel = await new ControlAndDataChannels().connect(guest.sockets, {
    deadlineMs: 5000,
    signal: new AbortController().signal,
  });
  await channel.open({ deadlineMs: 5000 });
  return {
    guest,
    channel,
    [Symbol.asyncDispose]: async () => {
      await channel.close();
      await guest[Symbol.asyncDispose]();
    },
  };
}

/** Answers 200 and writes these bytes; ends the stream unless `open`. */
function say(parts: Buffer[], how: 'end' | 'open' = 'end'): Script {
  return (stream) => {
    stream.respond({ ':status': 200 });
    for (const part of parts) stream.write(part);
    if (how === 'end') stream.end();
  };
}

async function collect(stream: ProcessStream): Promise<ProcessEvent[]> {
  const events: ProcessEvent[] = [];
  for await (const event of stream.events) events.push(event);
  return events;
}

function shape(events: ProcessEvent[]): unknown[] {
  return events.map((event) =>
    event.type === 'output' ? [event.stream, event.offset, event.bytes.toString()] : event,
  );
}

test('a process starts, prints and exits', async () => {
  await using fixture = await openChannel(
    say([
      started,
      stdout(0, 'hello'),
      encodeOffsetFrame(frameType.stderr, 5, Buffer.from('oh')),
      encodeOffsetFrame(frameType.stdinAck, 9),
      exitAt(7),
    ]),
  );
  const stream = fixture.channel.startProcess(spec);
  assert.deepEqual(await stream.started, { pid: 7, path: '/bin/tr ue', inputOffset: 0, outputOffset: 0 });
  assert.deepEqual(shape(await collect(stream)), [
    ['stdout', 0, 'hello'],
    ['stderr', 5, 'oh'],
    { type: 'stdin-ack', offset: 9 },
    { type: 'exit', exit: { code: 3, signal: null, outputOffset: 7 } },
  ]);
});

test('a process that cannot be started says why, cleaned', async () => {
  await using fixture = await openChannel(
    say([json(frameType.failed, { error: 'frob:\u001b not found', code: 'ENOENT' })]),
  );
  const stream = fixture.channel.startProcess(spec);
  await assert.rejects(
    stream.started,
    (error) => error instanceof ProcessStartError && error.errno === 'ENOENT' && error.message === 'frob: not found',
  );
  await assert.rejects(collect(stream), ProcessStartError);
});

test('an attached process goes on at its offset', async () => {
  let path: string | undefined;
  await using fixture = await openChannel((stream, headers) => {
    path = headers[':path'];
    say([started, stdout(1000, 'rest'), exitAt(1004)])(stream, headers);
  });
  assert.deepEqual(shape(await collect(fixture.channel.attachProcess('5', 1000))).slice(0, 1), [
    ['stdout', 1000, 'rest'],
  ]);
  assert.equal(path, '/v1/processes/5/attach?offset=1000');
});

test('an unknown process cannot be attached to', async () => {
  await using fixture = await openChannel((stream) => {
    stream.respond({ ':status': 404 });
    stream.end('{"error":"no such process","code":"ENOENT"}');
  });
  const stream = fixture.channel.attachProcess('5', 0);
  await assert.rejects(stream.started, { code: 'session_not_found' });
  await assert.rejects(collect(stream), { code: 'session_not_found' });
});

const violations: Record<string, Buffer[]> = {
  'output before the start': [stdout(0, 'x')],
  'a gap in the output': [started, stdout(1, 'x')],
  'output twice': [started, stdout(0, 'xy'), stdout(1, 'y')],
  'an exit before the last output': [started, stdout(0, 'x'), exitAt(2)],
  'an exit behind less output than it says': [started, stdout(0, 'x'), exitAt(0)],
  'an exit code that is none': [started, json(frameType.exit, { code: 256, signal: null, outputOffset: 0 })],
  'an exit that is not JSON': [started, encodeFrame(frameType.exit, Buffer.from('{'))],
  'a frame over the limit': [started, frameHeader(frameType.stdout, 2 ** 32 - 1)],
  'an over-long frame of an unknown type': [started, frameHeader(200, 100_000)],
  'output without an offset': [started, encodeFrame(frameType.stdout, Buffer.alloc(3))],
  'an offset beyond 2^53': [started, encodeFrame(frameType.stdout, Buffer.alloc(20, 0xff))],
  'an end before the exit': [started, stdout(0, 'x')],
  'an end within a frame': [started, stdout(0, 'hello').subarray(0, 15)],
  'an end before the start': [],
};
for (const [name, parts] of Object.entries(violations)) {
  test(`${name} breaks the stream, not the channel`, async () => {
    await using fixture = await openChannel(say(parts));
    await assert.rejects(collect(fixture.channel.startProcess(spec)), { code: 'agent_failed' });
    await assert.rejects(
      fixture.channel.startProcess(spec).started.then(() => collect(fixture.channel.startProcess(spec))),
      { code: 'agent_failed' },
    );
  });
}

test('a guest that ends its half before the process has ended, and keeps the stream open, has broken it', async () => {
  await using fixture = await openChannel((stream) => {
    stream.resume();
    say([started, stdout(0, 'x')])(stream, {});
  });
  const stream = fixture.channel.startProcess(spec);
  await stream.started;
  await assert.rejects(collect(stream), { code: 'agent_failed' });
});

test('unknown frames are passed over', async () => {
  await using fixture = await openChannel(say([started, encodeFrame(99, Buffer.from('new')), exitAt(0)]));
  assert.equal((await collect(fixture.channel.startProcess(spec))).length, 1);
});

test('a stream cut in the middle throws after what came before it', async () => {
  await using fixture = await openChannel((stream) => {
    say([started, stdout(0, 'kept')], 'open')(stream, {});
    setTimeout(() => stream.close(2), 30);
  });
  const stream = fixture.channel.startProcess(spec);
  const seen: ProcessEvent[] = [];
  await assert.rejects(
    (async () => {
      for await (const event of stream.events) seen.push(event);
    })(),
    { code: 'agent_failed' },
  );
  assert.deepEqual(shape(seen), [['stdout', 0, 'kept']]);
});

test('a lost channel ends its streams', async () => {
  await using fixture = await openChannel(say([started], 'open'));
  const stream = fixture.channel.startProcess(spec);
  await stream.started;
  fixture.guest.cut();
  await assert.rejects(collect(stream), { code: 'agent_failed' });
});

test('a guest that never starts the process costs the deadline', async (t) => {
  await using fixture = await openChannel(() => {});
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stream = fixture.channel.startProcess(spec);
  t.mock.timers.tick(60_000);
  await assert.rejects(stream.started, { code: 'agent_failed', message: /did not start/ });
  t.mock.timers.reset();
});

test('a consumer that does not read stops the guest; a flood of empty frames too', async () => {
  for (const frame of [
    encodeOffsetFrame(frameType.stdout, 0, Buffer.alloc(32_768)),
    encodeOffsetFrame(frameType.stdinAck, 1),
  ]) {
    let sent = 0;
    let offset = 0;
    await using fixture = await openChannel((stream) => {
      stream.respond({ ':status': 200 });
      stream.write(started);
      const more = () => {
        while (!stream.destroyed) {
          const next = Buffer.from(frame);
          if (next[0] === frameType.stdout) {
            next.writeBigUInt64BE(BigInt(offset), 5);
            offset += 32_768;
          }
          sent += next.length;
          if (!stream.write(next)) break;
        }
        stream.once('drain', more);
      };
      more();
    });
    const stream = fixture.channel.startProcess(spec);
    await stream.started;
    let before = -1;
    while (before !== sent) {
      before = sent;
      await sleep(150);
    }
    assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes were sent to a consumer that does not read`);
    const enough = sent + 1024 * 1024;
    let read = 0;
    for await (const event of stream.events) {
      read += event.type === 'output' ? event.bytes.length : frame.length;
      if (read > enough) break;
    }
    stream.close();
  }
});

test('input, its end, acknowledgements, sizes and signals arrive as frames, in pieces that fit', async () => {
  const frames: { type: number; payload: Buffer }[] = [];
  const done = Promise.withResolvers<void>();
  await using fixture = await openChannel((stream, headers) => {
    const decoder = new FrameDecoder();
    say([started], 'open')(stream, headers);
    stream.on('data', (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        frames.push({ type: frame.type, payload: Buffer.from(frame.payload) });
        if (frame.type === frameType.signal) done.resolve();
      }
    });
  });
  const stream = fixture.channel.startProcess(spec);
  await stream.started;
  const input = Buffer.alloc(200_000, 'i');
  await stream.writeStdin(10, input);
  stream.endStdin(200_010);
  stream.ack(77);
  stream.resize({ cols: 300, rows: 5 });
  stream.signal('HUP');
  await done.promise;
  assert.equal(frames[0]?.type, frameType.spec);
  assert.deepEqual(JSON.parse(String(frames[0]?.payload)), spec);
  const pieces = frames.filter((frame) => frame.type === frameType.stdin);
  assert.ok(pieces.every((piece) => piece.payload.length <= 65_536));
  assert.equal(
    pieces.reduce(
      (at, piece) => (assert.equal(decodeOffsetPayload(piece.payload).offset, at), at + piece.payload.length - 8),
      10,
    ),
    200_010,
  );
  assert.deepEqual(
    frames.filter((frame) => frame.type > 2).map((frame) => [frame.type, frame.payload.toString('hex')]),
    [
      [frameType.stdinEof, '0000000000030d4a'],
      [frameType.ack, '000000000000004d'],
      [frameType.resize, '012c0005'],
      [frameType.signal, Buffer.from('HUP').toString('hex')],
    ],
  );
  stream.close();
  stream.close();
  stream.ack(99);
  await stream.writeStdin(0, Buffer.from('late'));
});

test('a guest that reads no input holds its writer back', async () => {
  await using fixture = await openChannel(say([started], 'open'));
  const stream = fixture.channel.startProcess(spec);
  await stream.started;
  let written = 0;
  const writing = (async () => {
    for (; written < 64 * 1024 * 1024; written += 65_536) await stream.writeStdin(written, Buffer.alloc(65_536));
  })();
  await sleep(300);
  assert.ok(written < 8 * 1024 * 1024, `${written} bytes were taken`);
  stream.close();
  await writing;
});

test('the end of input waits for the pieces before it', async () => {
  const pieces = 40;
  const size = 64 * 1024;
  const seen: [number, number][] = [];
  await using fixture = await openChannel((stream) => {
    stream.respond({ ':status': 200 });
    stream.write(started);
    const decoder = new FrameDecoder();
    stream.on('data', (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.type === frameType.stdinEof) seen.push([frame.type, decodeOffsetPayload(frame.payload).offset]);
        if (frame.type !== frameType.stdin) continue;
        const { offset, bytes } = decodeOffsetPayload(frame.payload);
        seen.push([frame.type, offset + bytes.length]);
        stream.write(encodeOffsetFrame(frameType.stdinAck, offset + bytes.length));
      }
    });
  });
  const stream = fixture.channel.startProcess(spec);
  await stream.started;
  // As input is repeated over a new stream: nobody waits for a piece before the next is given.
  for (let i = 0; i < pieces; i++) void stream.writeStdin(i * size, Buffer.alloc(size));
  stream.endStdin(pieces * size);
  const reading = collect(stream);
  while (!seen.some(([type]) => type === frameType.stdinEof)) await sleep(5);
  assert.deepEqual(seen.at(-1), [frameType.stdinEof, pieces * size]);
  assert.deepEqual(seen.at(-2), [frameType.stdin, pieces * size]);
  stream.close();
  await reading.catch(() => undefined);
});
