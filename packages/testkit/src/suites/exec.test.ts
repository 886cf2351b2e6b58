// The unmodified npm SDK against the daemon: exec in all its forms, and sessions.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { watch } from '../sdk.ts';
import { until } from '../shell.ts';

checkLeaks(() => daemon[Symbol.asyncDispose]());

let daemon: TestDaemon;
let api: Api;
before(async () => {
  daemon = await TestDaemon.start();
  api = new Api(daemon);
  await api.create('x');
});

test('output, error output and exit codes', async () => {
  assert.deepEqual(await api.sh('x', 'echo out; echo err >&2; exit 3'), {
    stdout: 'out\n',
    stderr: 'err\n',
    exitCode: 3,
  });
  assert.deepEqual(await api.sh('x', 'true'), { stdout: '', stderr: '', exitCode: 0 });
  assert.equal((await api.sh('x', 'kill -9 $$')).exitCode, 137);
});

test('a missing program is 127, one that cannot be run 126, a missing directory says so', async () => {
  const missing = await api
    .sprite('x')
    .execFile('no-such-program')
    .catch((error) => error);
  assert.equal(missing.exitCode, 127);
  assert.match(String(missing.stderr), /no-such-program/);
  const denied = await api
    .sprite('x')
    .execFile('/etc/passwd')
    .catch((error) => error);
  assert.equal(denied.exitCode, 126);
  const nowhere = await api
    .sprite('x')
    .execFile('true', [], { cwd: '/no/such' })
    .catch((error) => error);
  assert.match(String(nowhere.stderr), /\/no\/such/);
});

test('environment and directory', async () => {
  const result = await api
    .sprite('x')
    .execFile('/bin/sh', ['-c', 'echo $A $HOME $USER; pwd; env | wc -l'], { env: { A: 'a b' }, cwd: '/tmp' });
  const [line, directory, count] = String(result.stdout).trim().split('\n');
  assert.equal(line, 'a b /home/sprite sprite');
  assert.equal(directory, '/tmp');
  assert.ok(Number(count) < 15, 'nothing of this machine leaks in');
});

test('standard input is passed on, end of file included', async () => {
  const command = api.sprite('x').spawn('sha256sum');
  const { stdout } = await watch(command);
  const data = Buffer.alloc(3_000_000, 'sylph');
  command.stdin.end(data);
  assert.equal(await command.wait(), 0);
  assert.equal(stdout().split(' ')[0], createHash('sha256').update(data).digest('hex'));
});

test('a terminal: size, output, exit code', async () => {
  const command = api
    .sprite('x')
    .spawn('/bin/sh', ['-c', 'stty size; tty; exit 1'], { tty: true, rows: 33, cols: 101 });
  const { stdout } = await watch(command);
  assert.equal(await command.wait(), 1);
  assert.match(stdout(), /33 101\r\n\/dev\/pts\//);
});

test('HTTP exec', async () => {
  const result = await api
    .sprite('x')
    .execFileHTTP('/bin/sh', ['-c', 'echo over http; echo err >&2; head -c 100000 /dev/zero | tr "\\0" a']);
  assert.equal(result.exitCode, 0);
  assert.equal(String(result.stdout).length, 10 + 100_000);
  assert.equal(String(result.stderr), 'err\n');
});

test('sessions: list, attach, replay, kill', async () => {
  const session = await watch(
    api.sprite('x').createSession('/bin/bash', ['-c', 'echo first; read line; echo got $line; sleep 3600']),
  );
  await session.sees('first');
  const [listed] = await api.sprite('x').listSessions();
  assert.ok(listed);
  assert.equal(listed.tty, true);
  assert.equal(listed.isActive, true);
  const second = await watch(api.sprite('x').attachSession(listed.id));
  await second.sees('first');
  second.command.stdin.write('word\n');
  await Promise.all([session.sees('got word'), second.sees('got word')]);
  const stream = await api.sprite('x').killSession(listed.id, 'SIGTERM', '2s');
  const events: { type: string; exitCode?: number }[] = [];
  for await (const event of stream) events.push(event);
  assert.equal(events.at(-1)?.type, 'complete');
  await Promise.all([session.command.wait(), second.command.wait()]);
  await until('the list to be empty', async () => (await api.sprite('x').listSessions()).length === 0);
  const gone = await api.call('POST', `/v1/sprites/x/exec/${listed.id}/kill`);
  assert.ok([404, 410].includes(gone.status));
});

test('200 fast commands, one after another and eight at a time, lose nothing', async () => {
  for (let i = 0; i < 40; i++)
    assert.deepEqual(await api.sh('x', `echo ${i}`), { stdout: `${i}\n`, stderr: '', exitCode: 0 });
  const queue = Array.from({ length: 160 }, (_, i) => i).values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const i of queue)
        assert.deepEqual(await api.sh('x', `echo ${i}; echo e${i} >&2`), {
          stdout: `${i}\n`,
          stderr: `e${i}\n`,
          exitCode: 0,
        });
    }),
  );
});

test('50 MB of output arrive whole', async () => {
  const command = api.sprite('x').spawn('/bin/sh', ['-c', 'head -c 50000000 /dev/urandom | tee /tmp/big; sync']);
  const hash = createHash('sha256');
  let size = 0;
  command.stdout.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    size += chunk.length;
  });
  assert.equal(await command.wait(), 0);
  assert.equal(size, 50_000_000);
  assert.equal((await api.text('x', 'sha256sum /tmp/big')).split(' ')[0], hash.digest('hex'));
});
