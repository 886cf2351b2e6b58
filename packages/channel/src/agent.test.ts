import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type GuestChannel, ProcessStartError } from '@sylph/engine';
import type { ProcessSpec } from '@sylph/model';
import { ControlAndDataChannels } from './factory.ts';
import { RealAgent } from './testing/real-agent.ts';

let agent: RealAgent;
before(async () => {
  agent = await RealAgent.start();
});
after(() => agent[Symbol.asyncDispose]());

let lastId = 0;
function spec(argv: string[], more: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    id: String(++lastId),
    argv,
    path: argv[0] ?? '',
    env: { PATH: '/usr/bin:/bin' },
    dir: '/',
    user: 'root',
    tty: null,
    stdin: false,
    ...more,
  };
}

async function connect(): Promise<GuestChannel> {
  const channel = await new ControlAndDataChannels().connect(agent.sockets, {
    deadlineMs: 10_000,
    signal: new AbortController().signal,
  });
  await channel.open({ deadlineMs: 10_000 });
  return channel;
}

test('the real agent greets, answers, lists and counts', async () => {
  await using channel = await connect();
  assert.equal(channel.hello.version, 1);
  await channel.ping({ deadlineMs: 5000 });
  await channel.quiesce({ deadlineMs: 5000 });
  assert.ok((await channel.stats()).memTotalBytes > 0);
  assert.deepEqual(await channel.processes(), []);
  await channel.forgetProcess('4711');
  await assert.rejects(channel.signalProcess('4711', 'TERM'), { code: 'session_not_found' });
  await assert.rejects(channel.attachProcess('4711', 0).started, { code: 'session_not_found' });
});

test('a process of the real agent runs, prints, exits, is listed and forgotten', async () => {
  await using channel = await connect();
  const wanted = spec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
  const stream = channel.startProcess(wanted);
  const { pid, path } = await stream.started;
  assert.ok(pid > 1);
  assert.match(path, /\/sh$/);
  const text = { stdout: '', stderr: '' };
  for await (const event of stream.events) {
    if (event.type === 'output') text[event.stream] += event.bytes.toString();
    else if (event.type === 'exit') assert.deepEqual(event.exit, { code: 7, signal: null, outputOffset: 8 });
  }
  assert.deepEqual(text, { stdout: 'out\n', stderr: 'err\n' });
  assert.deepEqual(
    (await channel.processes()).map(({ id, exited, outputOffset }) => ({ id, exited, outputOffset })),
    [{ id: wanted.id, exited: true, outputOffset: 8 }],
  );
  await assert.rejects(channel.signalProcess(wanted.id, 'TERM'), { code: 'session_exited' });
  await channel.forgetProcess(wanted.id);
  assert.deepEqual(await channel.processes(), []);
});

test('the real agent says why a program cannot be started', async () => {
  await using channel = await connect();
  await assert.rejects(
    channel.startProcess(spec(['frob'])).started,
    (error) => error instanceof ProcessStartError && error.errno === 'ENOENT' && /frob/.test(error.message),
  );
  await assert.rejects(
    channel.startProcess(spec(['/etc/passwd'])).started,
    (error) => error instanceof ProcessStartError && error.errno === 'EACCES',
  );
});

test('input goes through a real process and back unchanged, at any size', async () => {
  await using channel = await connect();
  const stream = channel.startProcess(spec(['cat'], { stdin: true }));
  const total = 20 * 1024 * 1024;
  const sent = createHash('sha256');
  const writing = (async () => {
    for (let at = 0; at < total;) {
      const piece = Buffer.alloc(Math.min(100_000, total - at), at % 251);
      sent.update(piece);
      await stream.writeStdin(at, piece);
      at += piece.length;
    }
    stream.endStdin(total);
  })();
  const got = createHash('sha256');
  let inputAcked = 0;
  for await (const event of stream.events) {
    if (event.type === 'output') {
      got.update(event.bytes);
      stream.ack(event.offset + event.bytes.length);
    } else if (event.type === 'stdin-ack') inputAcked = event.offset;
    else assert.equal(event.exit.outputOffset, total);
  }
  await writing;
  assert.equal(got.digest('hex'), sent.digest('hex'));
  assert.equal(inputAcked, total);
});

test('a terminal is resized and signalled over its stream', async () => {
  await using channel = await connect();
  const stream = channel.startProcess(
    spec(['sh', '-c', 'trap "stty size; exit 5" USR1; echo ready; while :; do sleep 0.05; done'], {
      tty: { cols: 80, rows: 24 },
      stdin: true,
    }),
  );
  let text = '';
  for await (const event of stream.events) {
    if (event.type === 'output') text += event.bytes.toString();
    if (text === 'ready\r\n') {
      stream.resize({ cols: 132, rows: 43 });
      stream.signal('USR1');
    }
    if (event.type === 'exit') assert.equal(event.exit.code, 5);
  }
  assert.match(text, /43 132/);
});

test('a process survives its stream and its channel', async () => {
  const wanted = spec(['sh', '-c', 'echo one; read line; echo "$line"'], { stdin: true });
  {
    await using channel = await connect();
    const stream = channel.startProcess(wanted);
    for await (const event of stream.events) if (event.type === 'output') break;
    stream.close();
  }
  await using channel = await connect();
  const stream = channel.attachProcess(wanted.id, 2);
  const { inputOffset } = await stream.started;
  await stream.writeStdin(inputOffset, Buffer.from('two\n'));
  let text = '';
  for await (const event of stream.events) if (event.type === 'output') text += event.bytes.toString();
  assert.equal(text, 'e\ntwo\n');
});
