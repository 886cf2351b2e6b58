import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, SylphClient } from './index.ts';
import { FakeServer } from './testing/index.ts';

let server: FakeServer;
let client: SylphClient;

const connect = (timeouts = {}): SylphClient => new SylphClient({ baseUrl: server.url, token: server.token, timeouts });
const withCode =
  (code: string) =>
  (thrown: unknown): boolean =>
    thrown instanceof ClientError && (assert.equal(thrown.code, code, thrown.message), true);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

before(async () => {
  server = await FakeServer.start();
});
after(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  Object.assign(server.faults, {
    silent: false,
    keepsOffsets: true,
    refuseExec: undefined,
    tellsInput: true,
    wakeMs: 0,
    stallStreams: false,
    failStreams: false,
  });
  server.sprites.clear();
  server.requests.length = 0;
  server.addSprite('one');
  client = connect();
});

describe('sprites', () => {
  test('create, get, update, delete', async () => {
    const made = await client.sprites.create({ name: 'two', labels: ['x'] });
    assert.deepEqual(made.labels, ['x']);
    assert.equal((await client.sprites.get('two')).id, made.id);
    assert.equal((await client.sprites.update('two', { idle_timeout_s: 0 })).idle_timeout_s, 0);
    await client.sprites.delete('two');
    await assert.rejects(client.sprites.get('two'), withCode('sprite_not_found'));
  });

  test('a taken name says so with the hint of the server', async () => {
    await assert.rejects(
      client.sprites.create({ name: 'one' }),
      (error: ClientError) =>
        error.code === 'name_taken' && error.status === 409 && error.hint === 'choose another name',
    );
  });

  test('list follows the pages', async () => {
    for (let index = 0; index < 120; index++) server.addSprite(`s-${String(index).padStart(3, '0')}`);
    const names = (await Array.fromAsync(client.sprites.list({ prefix: 's-' }))).map((sprite) => sprite.name);
    assert.equal(new Set(names).size, 120);
    assert.equal(server.requests.filter((line) => line.startsWith('GET /v1/sprites?')).length, 3);
  });

  test('commands of the lifecycle', async () => {
    assert.equal((await client.sprites.start('one')).status, 'running');
    assert.equal((await client.sprites.suspend('one')).status, 'warm');
    assert.equal((await client.sprites.recover('one')).status, 'running');
    assert.equal((await client.sprites.upgrade('one'))?.name, 'one');
    assert.equal((await client.sprites.restart('one')).sprite_name, 'one');
    assert.equal((await client.sprites.check('one')).status, 'healthy');
    assert.deepEqual(
      (await client.sprites.fork('one', { name: 'f', count: 2 })).map((sprite) => sprite.name),
      ['f-1', 'f-2'],
    );
    assert.equal((await client.host()).cpus, 2);
    await client.health();
  });

  test('a wrong token', async () => {
    await assert.rejects(
      new SylphClient({ baseUrl: server.url, token: 'no' }).sprites.get('one'),
      withCode('unauthenticated'),
    );
  });

  test('names are parts of a path, whatever they hold', async () => {
    await assert.rejects(client.sprites.get('../host'), withCode('sprite_not_found'));
    await assert.rejects(client.sprites.get('..'), withCode('invalid_name'));
  });

  test('a server that never answers ends with the deadline', async () => {
    server.faults.silent = true;
    await assert.rejects(connect({ restMs: 100 }).sprites.get('one'), withCode('timeout'));
    await assert.rejects(connect({ lifecycleMs: 100 }).exec('one', { cmd: ['true'] }), withCode('timeout'));
    await assert.rejects(connect({ lifecycleMs: 100 }).runHttp('one', { cmd: ['true'] }), withCode('timeout'));
    await assert.rejects(connect({ lifecycleMs: 100 }).checkpoints.createAndWait('one'), withCode('timeout'));
    server.drop();
  });

  test('nobody at the address', async () => {
    const lonely = new SylphClient({ baseUrl: 'http://127.0.0.1:1', token: 'x' });
    await assert.rejects(lonely.sprites.get('one'), withCode('connection_failed'));
    await assert.rejects(lonely.exec('one', { cmd: ['true'] }), withCode('connection_failed'));
    await assert.rejects(lonely.runHttp('one', { cmd: ['true'] }), withCode('connection_failed'));
  });

  test('a signal ends a request with its reason', async () => {
    server.faults.silent = true;
    const reason = new Error('enough');
    const signal = AbortSignal.timeout(10_000);
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 30);
    await assert.rejects(client.sprites.get('one', { signal: AbortSignal.any([signal, controller.signal]) }), reason);
    server.drop();
  });
});

describe('checkpoints', () => {
  test('create, list, get, restore, delete', async () => {
    const { id, lines } = await client.checkpoints.createAndWait('one', { comment: 'first' });
    assert.equal(id, 'v0');
    assert.equal(lines.at(-1)?.type, 'complete');
    assert.deepEqual(
      (await client.checkpoints.list('one')).map((each) => each.comment),
      ['first'],
    );
    assert.equal((await client.checkpoints.get('one', 'v0')).id, 'v0');
    assert.match((await client.checkpoints.restoreAndWait('one', 'v0')).lines.at(-1)?.data ?? '', /complete/);
    await client.checkpoints.delete('one', 'v0');
    await assert.rejects(client.checkpoints.restoreAndWait('one', 'v0'), withCode('checkpoint_not_found'));
  });

  test('an error line is thrown with code and hint', async () => {
    server.faults.failStreams = true;
    await assert.rejects(
      client.checkpoints.createAndWait('one'),
      (error: ClientError) => error.code === 'pool_full' && error.hint === 'delete something',
    );
  });

  test('a stream that falls silent, and one that breaks off', async () => {
    server.faults.stallStreams = true;
    await assert.rejects(connect({ streamStallMs: 100 }).checkpoints.createAndWait('one'), withCode('timeout'));
    const broken = client.checkpoints.createAndWait('one');
    setTimeout(() => server.drop(), 100);
    await assert.rejects(broken, withCode('connection_lost'));
  });
});

describe('exec', () => {
  test('output of both streams and the exit code', async () => {
    const result = await client.run('one', { cmd: ['sh', '-c', 'echo out; echo err >&2; exit 3'] });
    assert.deepEqual([result.exitCode, result.text, result.errorText], [3, 'out\n', 'err\n']);
  });

  test('environment and directory', async () => {
    const result = await client.run('one', { cmd: ['sh', '-c', 'echo "$A:$PWD"'], env: { A: 'b = c' }, dir: '/tmp' });
    assert.equal(result.text, 'b = c:/tmp\n');
  });

  test('10 MB through stdin and back, unchanged', async () => {
    const input = randomBytes(10_000_000);
    const result = await client.run('one', { cmd: ['cat'], input });
    assert.equal(sha256(result.stdout), sha256(input));
  });

  test('a reader that rests holds the sender back', async () => {
    await using session = await client.exec('one', { cmd: ['sh', '-c', 'head -c 30000000 /dev/zero; echo end >&2'] });
    await sleep(300);
    let bytes = 0;
    let beforeRest = 0;
    for await (const chunk of session.output) {
      bytes += chunk.bytes.length;
      if (beforeRest === 0) {
        beforeRest = bytes;
        await sleep(100);
      }
    }
    assert.equal(bytes, 30_000_004);
    assert.equal((await session.exit).code, 0);
  });

  test('a signal reaches the command', async () => {
    const session = await client.exec('one', { cmd: ['sleep', '60'] });
    session.kill('TERM');
    assert.equal((await session.exit).code, 143);
  });

  test('a terminal: raw bytes, size, exit code', async () => {
    const session = await client.exec('one', {
      cmd: ['sh', '-c', 'read line; echo "got $line"; exit 7'],
      tty: { cols: 80, rows: 24 },
    });
    session.resize({ cols: 100, rows: 40 });
    await session.stdin.write(Buffer.from('hello\n'));
    let text = '';
    for await (const chunk of session.output) text += Buffer.from(chunk.bytes).toString();
    assert.equal(text, 'got hello\n');
    assert.equal((await session.exit).code, 7);
    assert.deepEqual(server.sessions.get(session.id)?.resizes, [{ cols: 100, rows: 40 }]);
  });

  test('refusals come with the body of the server', async () => {
    await assert.rejects(client.exec('none', { cmd: ['true'] }), withCode('sprite_not_found'));
    await assert.rejects(client.attach('one', '999'), withCode('session_not_found'));
  });

  test('attach, list, kill', async () => {
    const session = await client.exec('one', {
      cmd: ['sh', '-c', 'echo first; cat'],
      stdin: true,
      maxRunAfterDisconnectMs: 0,
    });
    const listed = await client.sessions.list('one');
    assert.deepEqual(
      listed.map((each) => each.id).filter((id) => id === session.id),
      [session.id],
    );
    session.detach();
    await assert.rejects(session.exit, withCode('connection_lost'));
    const again = await client.attach('one', session.id);
    await again.stdin.write(Buffer.from('second\n'));
    await again.stdin.end();
    let text = '';
    for await (const chunk of again.output) text += Buffer.from(chunk.bytes).toString();
    assert.equal(text, 'first\nsecond\n');
    const other = await client.exec('one', { cmd: ['sleep', '60'] });
    assert.deepEqual(await client.sessions.kill('one', other.id), { exitCode: 143, alreadyExited: false });
    assert.deepEqual(await client.sessions.kill('one', other.id), { exitCode: undefined, alreadyExited: true });
  });

  test('a signal ends the connection and leaves the command alone', async () => {
    const controller = new AbortController();
    const session = await client.exec('one', { cmd: ['sleep', '60'], signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(session.exit, /enough/);
    assert.equal(server.sessions.get(session.id)?.exitCode, undefined);
  });

  test('over HTTP: frames, exit code, input', async () => {
    const result = await client.runHttp('one', { cmd: ['sh', '-c', 'cat; echo err >&2; exit 4'], input: 'in' });
    assert.deepEqual([result.exitCode, result.text, result.errorText], [4, 'in', 'err\n']);
    const input = randomBytes(3_000_000);
    assert.equal(sha256((await client.runHttp('one', { cmd: ['cat'], input })).stdout), sha256(input));
    await assert.rejects(client.runHttp('none', { cmd: ['true'] }), withCode('sprite_not_found'));
  });
});

describe('a dropped connection', () => {
  test('output goes on where it broke, however often', async () => {
    const events: string[] = [];
    const session = await client.exec('one', {
      cmd: ['sh', '-c', 'for i in $(seq 1 200); do echo line $i; sleep 0.005; done; exit 5'],
      onConnection: (event) => events.push(event.type),
    });
    const dropping = setInterval(() => server.drop(), 300);
    let text = '';
    for await (const chunk of session.output) text += Buffer.from(chunk.bytes).toString();
    clearInterval(dropping);
    assert.equal(text, Array.from({ length: 200 }, (_, index) => `line ${index + 1}\n`).join(''));
    assert.equal((await session.exit).code, 5);
    assert.ok(events.includes('resumed'));
  });

  test('a signal that is sent meanwhile reaches the command afterwards', async () => {
    const session = await client.exec('one', {
      cmd: ['sleep', '60'],
      onConnection: ({ type }) => type === 'lost' && session.kill('TERM'),
    });
    server.drop();
    assert.equal((await session.exit).code, 143);
  });

  test('input goes on where it broke when the server tells how much it took', async () => {
    const input = randomBytes(4_000_000);
    const session = await client.exec('one', { cmd: ['sh', '-c', 'sleep 0.2; cat'], stdin: true });
    const feeding = (async () => {
      for (let at = 0; at < input.length; at += 50_000) {
        await session.stdin.write(input.subarray(at, at + 50_000));
        if (at === 1_000_000 || at === 2_500_000) server.drop();
      }
      await session.stdin.end();
    })();
    const parts: Uint8Array[] = [];
    for await (const chunk of session.output) parts.push(chunk.bytes);
    await feeding;
    assert.equal(sha256(Buffer.concat(parts)), sha256(input));
  });

  test('input of a second client goes on too: it is counted from where that client came', async () => {
    const first = await client.exec('one', { cmd: ['cat'], stdin: true, maxRunAfterDisconnectMs: 0 });
    await first.stdin.write(Buffer.from('first '));
    const second = await client.attach('one', first.id);
    first.detach();
    await second.stdin.write(Buffer.from('second '));
    server.drop();
    await second.stdin.write(Buffer.from('third'));
    await second.stdin.end();
    let text = '';
    for await (const chunk of second.output) text += Buffer.from(chunk.bytes).toString();
    assert.equal(text, 'first second third');
  });

  test('input whose fate nobody knows is not repeated: the session fails', async () => {
    server.faults.tellsInput = false;
    const session = await client.exec('one', { cmd: ['sh', '-c', 'sleep 60'], stdin: true });
    void session.stdin.write(randomBytes(8_000_000));
    await sleep(50);
    server.drop();
    await assert.rejects(session.exit, withCode('connection_lost'));
  });

  test('servers without offsets are not asked again', async () => {
    server.faults.keepsOffsets = false;
    const session = await client.exec('one', { cmd: ['sleep', '60'] });
    server.drop();
    await assert.rejects(session.exit, withCode('connection_lost'));
    assert.equal(server.requests.filter((line) => line.startsWith('UPGRADE')).length, 1);
  });

  test('gives up after a bounded number of attempts', async () => {
    const impatient = new SylphClient({ baseUrl: server.url, token: server.token, resumeAttempts: 2 });
    const session = await impatient.exec('one', { cmd: ['sleep', '60'] });
    server.faults.refuseExec = 503;
    server.drop();
    await assert.rejects(session.exit, withCode('not_ready'));
    assert.equal(server.requests.filter((line) => line.startsWith('UPGRADE')).length, 3);
  });

  test('a connection that died without a word is noticed', async () => {
    const session = await connect({ execStallMs: 150 }).exec('one', { cmd: ['sh', '-c', 'sleep 1; echo late'] });
    const [socket] = server.sessions.get(session.id)?.sockets ?? [];
    socket?.pause(); // Answers no pings any more.
    let text = '';
    for await (const chunk of session.output) text += Buffer.from(chunk.bytes).toString();
    assert.equal(text, 'late\n');
    assert.ok(server.requests.filter((line) => line.startsWith('UPGRADE')).length > 1);
  });
});
