import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { FakeJobs } from './testing/fake-jobs.ts';
import { CliFixture, type Run } from './testing/run-cli.ts';

let fixture: CliFixture;
let server: FakeJobs;

before(async () => {
  fixture = await CliFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());
beforeEach(async () => {
  server = await FakeJobs.start();
});
afterEach(() => server[Symbol.asyncDispose]());

const environment = (): Record<string, string> => ({ SYLPH_URL: server.url, SYLPH_SPRITE: 'one' });
const run = (...words: string[]): Promise<Run> => fixture.run(words, { env: environment() });
const jobs = (...words: string[]): Promise<Run> => run('jobs', ...words);
const json = ({ stdout }: Run): Record<string, unknown> => JSON.parse(stdout.toString()) as Record<string, unknown>;

/** Starts a job that runs this script; its id. */
async function start(script: string): Promise<string> {
  return (await run('exec', '--background', 'sh', '-c', script)).stdout.toString().trim();
}

/** Runs it to its end. */
async function finished(script: string): Promise<string> {
  const id = await start(script);
  await server.jobs.get(id)?.session.exited;
  return id;
}

describe('exec --background', () => {
  test('comes back at once with the id alone on stdout', async () => {
    const { code, stdout, stderr } = await run('exec', '--background', '--', 'sleep', '60');
    assert.deepEqual([code, stdout.toString()], [0, '1\n']);
    assert.equal(stderr, 'job 1 runs in one; see: sylph jobs logs -f 1 -s one\n');
    assert.equal(server.jobs.get('1')?.session.exitCode, undefined);
  });

  test('asks for what is said, and for it once', async () => {
    const result = await run(
      ...['exec', '--background', '--json', '--dir', '/tmp', '--env', 'A=b', '--timeout', '1.5s'],
      ...['--notify', 'https://example.org/hook', 'sh', '-c', 'pwd; echo "$A"'],
    );
    assert.deepEqual([result.code, result.stderr], [0, '']);
    assert.deepEqual(
      [json(result)['id'], json(result)['state'], json(result)['notify_secret']],
      ['1', 'running', 'whsec_0123456789abcdef'],
    );
    const { idempotency_key: key, ...request } = server.jobs.get('1')?.request ?? {};
    assert.match(String(key), /^[0-9a-f-]{36}$/);
    assert.deepEqual(request, {
      cmd: ['sh', '-c', 'pwd; echo "$A"'],
      env: { A: 'b' },
      dir: '/tmp',
      stdin: '',
      timeout: 1500,
      notify: 'https://example.org/hook',
    });
    assert.match((await run('exec', '--background', '--notify', 'http://h/', 'true')).stderr, /signature: whsec_/);
  });

  test('input is what is piped in, or nothing', async () => {
    const input = 'ä\n'.repeat(5_000);
    const words = ['exec', '--background', 'cat'];
    await fixture.run(words, { env: environment(), input });
    assert.equal((await jobs('logs', '-f', '1')).stdout.toString(), input);
    await fixture.run(['exec', '--background', '--no-stdin', 'cat'], { env: environment(), input });
    assert.equal(server.jobs.get('2')?.request.stdin, undefined);
  });

  test('input that cannot be carried starts nothing', async () => {
    const words = ['exec', '--background', 'cat'];
    const binary = await fixture.run(words, { env: environment(), input: Buffer.from([0x61, 0xff]) });
    assert.deepEqual(
      [binary.code, binary.stderr],
      [
        2,
        'sylph: the input of a job has to be UTF-8 text\nhint:  put it into a file, and have the command read that: sylph file push FILE PATH\n',
      ],
    );
    // Without an end: it is not read to one.
    const child = fixture.spawn(words, { env: environment() });
    const endless = spawn('yes', { stdio: ['ignore', child.stdin, 'ignore'] });
    assert.deepEqual(await once(child, 'close'), [2, null]);
    endless.kill();
    assert.equal(server.jobs.size, 0);
  });

  test('what does not go together is wrong use', async () => {
    for (const words of [
      ['--background', '--tty', 'true'],
      ['--background', '--http-post', 'true'],
      ['--timeout', '5', 'true'],
      ['--notify', 'http://x', 'true'],
    ])
      assert.equal((await run('exec', ...words)).code, 2, words.join(' '));
    assert.equal(server.jobs.size, 0);
  });
});

describe('jobs', () => {
  test('list shows them, newest first', async () => {
    assert.match((await jobs('list')).stdout.toString(), /^one has no jobs\. Start one: sylph exec --background/);
    await finished('echo hello; exit 3');
    await start('sleep 60');
    const lines = (await jobs('ls')).stdout.toString().split('\n');
    assert.match(lines[0] ?? '', /^ID  STATE    EXIT  COMMAND +OUTPUT  STARTED +ENDED$/);
    assert.match(lines[1] ?? '', /^2   running  -     sh -c sleep 60 +0 B  \d+ s ago  -$/);
    assert.match(lines[2] ?? '', /^1   failed   3     sh -c echo hello; exit 3 +6 B  \d+ s ago  \d+ s ago$/);
    const listed = JSON.parse((await jobs('list', '--json')).stdout.toString()) as { id: string }[];
    assert.deepEqual(
      listed.map(({ id }) => id),
      ['2', '1'],
    );
  });

  test('logs put output where it belongs, from anywhere on', async () => {
    const id = await finished('echo out; sleep 0.1; echo err >&2; exit 4');
    const all = await jobs('logs', id);
    assert.deepEqual([all.code, all.stdout.toString(), all.stderr], [0, 'out\n', 'err\n']);
    const one = await jobs('logs', id, '--stream', 'stderr');
    assert.deepEqual([one.stdout.toString(), one.stderr], ['', 'err\n']);
    const late = await jobs('logs', id, '--offset', '2');
    assert.deepEqual([late.stdout.toString(), late.stderr], ['t\n', 'err\n']);
    const lines = (await jobs('logs', id, '--json')).stdout.toString().trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      [
        { type: 'stdout', offset: 0, data: Buffer.from('out\n').toString('base64') },
        { type: 'stderr', offset: 4, data: Buffer.from('err\n').toString('base64') },
      ],
    );
  });

  test('logs without -f end with what there is', async () => {
    const id = await start('echo first; sleep 60');
    while (server.jobs.get(id)?.session.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal((await jobs('logs', id)).stdout.toString(), 'first\n');
  });

  test('logs -f goes on to the end, through broken connections', async () => {
    const id = await start('for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; exit 9');
    server.breaks.push(1, 0, 2);
    const { code, stdout } = await jobs('logs', '-f', id);
    assert.deepEqual([code, stdout.toString()], [0, '1\n2\n3\n4\n5\n6\n']);
    assert.deepEqual(server.breaks, []);
  });

  test('logs -f goes on through a restore, and says so beside the output', async () => {
    for (const json of [[], ['--json']]) {
      const id = await start('echo before; sleep 60');
      const child = fixture.spawn(['jobs', 'logs', '-f', id, ...json], { env: environment() });
      const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
      await once(child.stdout, 'data');
      await server.restore(id, 'echo after');
      const [stdout, stderr, [code]] = await ended;
      assert.equal(code, 0);
      if (json.length === 0) {
        const note = 'sylph: the sprite was restored: the job is back at byte 0 of its output, from 7\n';
        assert.deepEqual([stdout, stderr], ['before\nafter\n', note]);
        continue;
      }
      const lines = stdout.trimEnd().split('\n');
      const types = lines.map((line) => (JSON.parse(line) as { type: string }).type);
      assert.deepEqual([types, stderr], [['stdout', 'rewound', 'stdout'], '']);
    }
  });

  test("wait's exit code is the job's", async () => {
    for (const expected of [0, 3, 127, 255]) {
      const id = await start(`sleep 0.2; exit ${expected}`);
      const { code, stdout } = await jobs('wait', id);
      assert.deepEqual([code, stdout.toString()], [expected, `job ${id} ended with ${expected}\n`]);
    }
    const id = await start('exit 5');
    const result = await jobs('wait', id, '--json');
    assert.deepEqual([result.code, json(result)['state'], json(result)['exit_code']], [5, 'failed', 5]);
  });

  test('wait for a job nobody knows the end of is 1, with the reason', async () => {
    const id = await finished('exit 0');
    Object.assign(server.jobs.get(id) ?? {}, { lost: true });
    const { code, stdout } = await jobs('wait', id);
    assert.deepEqual([code, stdout.toString()], [1, `job ${id} was ended: the VM died\n`]);
  });

  test('kill sends the signal; one that had ended before is a success', async () => {
    const id = await start('trap "exit 7" USR1; echo ready; while :; do sleep 0.1; done');
    while (server.jobs.get(id)?.session.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    const killed = await jobs('kill', id, '--signal', 'USR1', '--json');
    assert.deepEqual([killed.code, json(killed)['state'], json(killed)['exit_code']], [0, 'killed', 7]);
    const again = await jobs('kill', id);
    assert.deepEqual(
      [again.code, again.stdout.toString()],
      [0, `job ${id} had ended before: it was ended: somebody killed it\n`],
    );
    assert.equal((await jobs('wait', id)).code, 7);
  });

  test('rm removes what has ended, and nothing else', async () => {
    const ids = [await finished('true'), await finished('true'), await start('sleep 60')];
    const removed = await jobs('rm', ...ids.slice(0, 2), '--json');
    assert.deepEqual([removed.code, json(removed)], [0, { sprite: 'one', removed: ['1', '2'] }]);
    const refused = await jobs('rm', '3');
    assert.deepEqual([refused.code, refused.stderr], [1, 'sylph: job 3 runs\n']);
    assert.deepEqual([...server.jobs.keys()], ['3']);
  });

  test('an unknown job is a failure in all of them', async () => {
    for (const verb of ['logs', 'wait', 'kill', 'rm']) {
      const { code, stderr } = await jobs(verb, '99');
      assert.deepEqual([code, stderr], [1, 'sylph: job not found: 99\n'], verb);
      assert.equal(json(await jobs(verb, '99', '--json'))['code'], 'job_not_found', verb);
    }
  });
});
