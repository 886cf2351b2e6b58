import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { CliFixture, type Run } from './testing/run-cli.ts';

const web = {
  name: 'web',
  cmd: 'node',
  args: ['a b'],
  env: { K: 'v' },
  needs: ['db'],
  http_port: 8080,
  state: { name: 'web', status: 'running', pid: 7, started_at: new Date().toISOString(), restart_count: 2 },
};

const requests: string[] = [];
let answer: unknown[] = [];
let fixture: CliFixture;
const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
    response.end(answer.map((line) => `${JSON.stringify(line)}\n`).join(''));
  });
});

before(async () => {
  fixture = await CliFixture.make();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await fixture[Symbol.asyncDispose]();
});

/** Runs `sylph service …` against a server that answers with these lines. */
function run(lines: unknown[], ...words: string[]): Promise<Run> {
  answer = lines;
  requests.length = 0;
  const env = { SYLPH_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, SYLPH_SPRITE: 'one' };
  return fixture.run(['service', ...words], { env });
}

const complete = { type: 'complete', timestamp: 2 };
const services = '/v1/sprites/one/services';

test('create tells what happens, output where it belongs', async () => {
  const { code, stdout, stderr } = await run(
    [
      { type: 'started', timestamp: 1 },
      { type: 'stdout', timestamp: 1, data: 'out\n' },
      { type: 'stderr', timestamp: 1, data: 'err\n' },
      complete,
    ],
    ...[
      'create',
      'web',
      '--env',
      'A=b',
      '--needs',
      'db,cache',
      '--http-port',
      '80',
      '--dir',
      '/srv',
      '--duration',
      '1.5s',
    ],
    ...['--', 'node', '--flag', 'a b'],
  );
  assert.deepEqual([code, stdout.toString(), stderr], [0, 'out\n', 'sylph: web was started\nerr\n']);
  const body = {
    cmd: 'node',
    args: ['--flag', 'a b'],
    env: { A: 'b' },
    dir: '/srv',
    needs: ['db', 'cache'],
    http_port: 80,
  };
  assert.deepEqual(requests, [`PUT ${services}/web?duration=1500ms ${JSON.stringify(body)}`]);
});

test('a service that ends or does not start makes the exit code 1', async () => {
  const ended = await run([{ type: 'exit', timestamp: 1, exit_code: 3 }, complete], 'start', 'web');
  assert.deepEqual([ended.code, ended.stderr], [1, 'sylph: web ended with 3; it will be started again\n']);
  const failed = await run(
    [{ type: 'error', timestamp: 1, data: 'no\u001b[31m' }, complete],
    'restart',
    'web',
    '--no-stream',
  );
  assert.equal(failed.code, 1);
  assert.ok(!failed.stderr.includes('\u001b'));
  assert.deepEqual(requests, [`POST ${services}/web/restart?duration=0ms`]);
});

test('list and get show what there is', async () => {
  const listed = await run([[web]], 'list');
  assert.match(
    listed.stdout.toString(),
    /^NAME +STATUS +PID +PORT +RESTARTS +STARTED +COMMAND\nweb +running +7 +8080 +2 +\d s ago +node a b\n$/,
  );
  assert.match((await run([[]], 'ls')).stdout.toString(), /has no services/);
  const shown = await run([web], 'get', 'web');
  assert.match(
    shown.stdout.toString(),
    /^name +web\nstatus +running\ncommand +node "a b"\nenvironment +K=v\nneeds +db\n/,
  );
  assert.deepEqual(JSON.parse((await run([web], 'get', 'web', '--json')).stdout.toString()), web);
});

test('stop, signal, delete and logs ask for what is said', async () => {
  const stopped = await run(
    [{ type: 'stopped', timestamp: 1, exit_code: 143 }, complete],
    'stop',
    'web',
    '--timeout',
    '2s',
  );
  assert.deepEqual([stopped.code, stopped.stderr], [0, 'sylph: web has stopped with 143\n']);
  assert.deepEqual(requests, [`POST ${services}/web/stop?timeout=2000ms`]);
  assert.equal((await run([], 'signal', 'web', 'HUP')).stdout.toString(), 'web got HUP\n');
  assert.deepEqual(requests, [`POST ${services}/signal {"name":"web","signal":"HUP"}`]);
  assert.equal((await run([], 'delete', 'web', 'db')).stdout.toString(), 'web removed\ndb removed\n');
  assert.deepEqual(requests, [`DELETE ${services}/web`, `DELETE ${services}/db`]);
  const logs = await run([{ type: 'stdout', timestamp: 1, data: 'a\n' }, complete], 'logs', 'web', '-n', '5', '--json');
  assert.deepEqual(JSON.parse(logs.stdout.toString().split('\n')[0] ?? ''), {
    type: 'stdout',
    timestamp: 1,
    data: 'a\n',
  });
  assert.deepEqual(requests, [`GET ${services}/web/logs?lines=5`]);
});

test('mistakes are told before anything is asked', async () => {
  for (const [words, text] of [
    [['create', 'web'], /there is no program to run/],
    [['start', 'web', '--duration', 'soon'], /--duration soon is not a time/],
  ] as const) {
    const { code, stderr } = await run([], ...words);
    assert.equal(code, 2);
    assert.match(stderr, text);
  }
  assert.deepEqual(requests, []);
});
