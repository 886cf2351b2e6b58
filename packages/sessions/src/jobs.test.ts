import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { JobOptions } from '@sylph/engine';
import type { SylphError } from '@sylph/model';
import { SessionsFixture, readAll, request, until } from './testing/fixture.ts';
import { connected } from './testing/scripted-guest.ts';

/** A request for a job. */
function job(part: Partial<JobOptions> = {}, argv = ['work']): ReturnType<typeof request> {
  return request(argv, { job: { input: '', timeoutMs: null, idempotencyKey: null, notify: null, ...part } });
}

const notify = { url: 'https://example.com/hook', secret: 'a secret of sixteen' };

test('a job counts as activity until it ends, and stays with its output until it is removed', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(job());
  assert.equal(sessions.activity().jobs, 1);
  await assert.rejects(sessions.removeJob('1'), (error: SylphError) => error.code === 'illegal_state');
  guest.process('1').print('done\n').end(3);
  await session.ended;
  assert.equal(sessions.activity().jobs, 0);
  await session.recorded;

  const later = await fixture.open();
  const [kept] = later.jobs();
  assert.equal(kept?.id, '1');
  assert.deepEqual({ ...kept.end, at: '' }, { how: 'exited', code: 3, signal: null, at: '' });
  assert.equal((await readAll(kept)).stdout, 'done\n');
  await later.removeJob('1');
  assert.deepEqual(later.jobs(), []);
  await later[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(path.join(fixture.dir, 'sessions')), []);
});

test('its input reaches it whole and once, also when the daemon dies in the middle', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const input = 'line of input\n'.repeat(20_000);
  guest.onStart = (process) => (process.readsInput = false);
  await sessions.start(job({ input }));
  await until(() => guest.process('1').input !== '', 'the first input');
  const next = await fixture.open({ crashed: true });
  guest.process('1').readsInput = true;
  await next.connect(guest.connect());
  await until(() => guest.process('1').eof, 'the end of input');
  assert.equal(guest.process('1').input, input);
});

test('a job beyond its time is ended and says why; time out of reach does not count', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(job({ timeoutMs: 80 }));
  guest.process('1').onSignal = (signal) => guest.process('1').end(143, signal);
  await until(() => session.pid > 0);
  await sessions.disconnect();
  await sleep(120);
  assert.deepEqual(guest.process('1').signals, []);
  await sessions.connect(guest.connect());
  const end = await session.ended;
  assert.deepEqual({ ...end, at: '' }, { how: 'exited', code: 143, signal: 'TERM', cause: 'timeout', at: '' });
});

test('a job that is stopped gets KILL in the end, whoever attaches meanwhile', async (t) => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(job());
  await until(() => session.pid > 0);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await session.stop('INT', 'kill');
  session.attach()[Symbol.dispose]();
  t.mock.timers.tick(10_000);
  t.mock.timers.reset();
  const end = await session.ended;
  assert.deepEqual(guest.process('1').signals, ['INT', 'KILL']);
  assert.equal(end.how === 'exited' && end.cause, 'kill');
});

test('an end is told once it is recorded: again when the daemon dies first, never again afterwards', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const died = Promise.withResolvers<void>();
  fixture.onTell = () => died.promise;
  await sessions.start(job({ notify }));
  await sessions.start(job());
  guest.process('1').end(0);
  guest.process('2').end(0);
  await until(() => fixture.told.length > 0, 'the first telling');
  fixture.onTell = async () => {};
  const next = await fixture.open({ crashed: true });
  await until(() => fixture.told.length > 1, 'the second telling');
  await until(() => !next.jobs().some((each) => each.wantsNotice), 'the note that it was told');
  await next[Symbol.asyncDispose]();
  await fixture.open({ crashed: true });
  assert.deepEqual(fixture.told, ['1', '1']);
  died.reject(new Error('the daemon died'));
});

test('a snapshot takes running jobs back to where they were, tells nobody of an end, and leaves ended ones', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  await sessions.start(job({ notify }, ['early']));
  guest.process('1').end(0);
  await until(() => fixture.told.length === 1, 'the first end');
  await sessions.start(job({ notify }, ['running']));
  guest.process('2').print('half|');
  await until(() => sessions.get('2')?.endOffset === 5);
  const positions = sessions.positions();
  const snapshot = guest.snapshot();
  const out = path.join(fixture.dir, 'export');
  await mkdir(out);
  await sessions.exportTo(out, positions);
  await sessions.start(job({ notify }, ['late']));
  await sessions.disconnect();
  let done = false;
  const polled = (async () => {
    const seen = new Set<string>();
    for (; !done; await turn()) seen.add(String(sessions.get('2')?.end?.how ?? sessions.get('2')?.id));
    return [...seen];
  })();
  await sessions.replaceFrom(out, 'restored to v1');
  done = true;
  assert.deepEqual(await polled, ['2'], 'who asks meanwhile sees it running');
  guest.restore(snapshot);
  await sessions.connect(guest.connect());
  const states = sessions.jobs().map(({ id, end }) => [id, end?.how]);
  assert.deepEqual(
    states.toSorted(([a], [b]) => Number(a) - Number(b)),
    [
      ['1', 'exited'],
      ['2', undefined],
      ['3', 'lost'],
    ],
  );
  await until(() => fixture.told.length === 2, 'the loss of the late one');
  guest.process('2').print('whole').end(0);
  await until(() => fixture.told.length === 3, 'the end of the running one');
  assert.deepEqual(fixture.told, ['1', '3', '2']);
  assert.equal((await readAll(sessions.get('2') ?? assert.fail())).stdout, 'half|whole');
});
