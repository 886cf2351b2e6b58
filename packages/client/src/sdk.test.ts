import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as official from '@fly/sprites';
import * as ours from './index.ts';
import { RealDaemon } from './testing/real-daemon.ts';
import { programs } from './testing/sdk-programs.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe('what the SDK has not', () => {
  let daemon: RealDaemon;
  let sprite: ours.Sprite;
  before(async () => {
    daemon = await RealDaemon.start();
    sprite = new ours.SpritesClient(daemon.token, { baseURL: daemon.url }).sprite('one');
  });
  after(() => daemon[Symbol.asyncDispose]());

  test('forks are handles; sprites are started and put to sleep', async () => {
    const forks = await sprite.fork({ name: 'twin', count: 2 });
    assert.deepEqual(
      forks.map((fork) => [fork instanceof ours.Sprite, fork.name, fork.organizationName]),
      [
        [true, 'twin-1', 'acme'],
        [true, 'twin-2', 'acme'],
      ],
    );
    assert.equal((await forks[0]!.start()).status, 'running');
    assert.equal((await forks[0]!.suspend()).status, 'warm');
  });

  test('jobs', async () => {
    const { id } = await sprite.startJob({ cmd: ['sh', '-c', 'echo some; exit 3'] });
    assert.equal((await sprite.waitForJob(id)).exit_code, 3);
    let said = '';
    for await (const output of sprite.jobLogs(id))
      if (output.type === 'stdout') said += Buffer.from(output.bytes).toString();
    assert.deepEqual(
      [said, (await sprite.getJob(id)).state, (await sprite.listJobs()).length],
      ['some\n', 'failed', 1],
    );
    await sprite.deleteJob(id);
  });

  test('a signal ends a command with TERM, and the wait for it with its reason', async () => {
    const reason = new Error('enough');
    for (const end of ['spawn', 'execFile'] as const) {
      const ends = new AbortController();
      const words = ['-c', `trap 'echo term > /tmp/${end}-$$; exit' TERM; echo $$; while :; do sleep 0.05; done`];
      const mark = `sylph-test-${process.pid}-${end}`;
      const script = words[1]!.replace('/tmp/', `/tmp/${mark}-`);
      const command =
        end === 'spawn'
          ? sprite.spawn('sh', ['-c', script], { signal: ends.signal }).wait()
          : sprite.execFile('sh', ['-c', script], { signal: ends.signal });
      const ended = assert.rejects(command, reason);
      const running = async (): Promise<boolean> =>
        (await sprite.listSessions()).some((session) => session.command.includes(mark));
      await eventually(running);
      // The shell has to have set its trap.
      await sleep(300);
      ends.abort(reason);
      await ended;
      const found = async (): Promise<string[]> =>
        (await sprite.filesystem('/tmp').readdir('.', { pattern: `${mark}-*` })).filter((name) =>
          name.startsWith(mark),
        );
      await eventually(async () => (await found()).length === 1);
      for (const name of await found()) await sprite.filesystem('/tmp').rm(name);
    }
  });

  test('output nobody reads does not stop a command before 16 MiB; a failure that nobody hears of is not swallowed', async () => {
    const unread = sprite.spawn('sh', ['-c', 'head -c 10000000 /dev/zero; head -c 1000000 /dev/zero >&2']);
    assert.equal(await unread.wait(), 0);
    const lost = new ours.SpritesClient(daemon.token, { baseURL: daemon.url }).sprite('none').spawn('true');
    const [error] = (await once(lost, 'error')) as [ours.APIError];
    assert.equal(error.statusCode, 404);
    await assert.rejects(lost.wait(), { code: 'sprite_not_found' });
  });
});

/** Resolves once `test` holds; rejects after 10 s. */
async function eventually(test: () => Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await test()); waitedMs += 20) {
    if (waitedMs > 10_000) throw new Error('it did not happen');
    await sleep(20);
  }
}

describe('programs of the npm SDK', { concurrency: true }, () => {
  let daemon: RealDaemon;
  before(async () => {
    daemon = await RealDaemon.start();
  });
  after(() => daemon[Symbol.asyncDispose]());

  test('compile against our types', async () => {
    // The daemon's types are checked by everybody's check; here the name of the SDK means our client.
    const check = promisify(execFile)(
      `${root}/node_modules/.bin/tsc`,
      ['-p', here('testing/sdk-names.tsconfig.json')],
      {
        cwd: root,
      },
    );
    await check.catch(({ stdout }: { stdout: string }) => assert.fail(stdout));
  });

  for (const [name, program] of Object.entries(programs))
    test(`see the same with ours: ${name}`, async () => {
      const place = { url: daemon.url, token: daemon.token };
      const theirs = await program(official, { ...place, prefix: 'theirs-' });
      const same = await program(ours as unknown as typeof official, { ...place, prefix: 'others-' });
      const text = (seen: unknown): unknown => JSON.parse(JSON.stringify(seen).replaceAll(/theirs-|others-/g, 'x-'));
      assert.deepEqual(text(same), text(theirs));
    });
});
