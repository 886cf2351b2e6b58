import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { SessionPosition } from '@sylph/engine';
import fc from 'fast-check';
import { SessionsFixture, readAll, request, until } from './testing/fixture.ts';
import { ScriptedGuest, type ScriptedProcess, connected } from './testing/scripted-guest.ts';

test('a snapshot holds running sessions up to their positions; others never see them', async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const session = await sessions.start(request(['a']));
  await (
    await sessions.start(request(['b']))
  ).recorded;
  guest.process('1').print('before|');
  await until(() => session.endOffset === 7);
  const positions = sessions.positions();
  guest.process('1').print('after');
  guest.process('2').end(0);
  await until(() => session.endOffset === 12 && sessions.list().length === 1);
  const out = path.join(fixture.dir, 'export');
  await mkdir(out);
  await sessions.exportTo(out, positions);
  assert.deepEqual((await readdir(out)).toSorted(), ['1', '2']);

  const copies = await fixture.open({ crashed: true, name: 'copies' });
  await copies.replaceFrom(out, 'unused');
  assert.deepEqual(copies.positions(), positions);
  await copies.lose('end of test');
  assert.equal((await readAll(copies.get('1') ?? assert.fail())).stdout, 'before|');
});

test("sessions replaced by a snapshot's end as lost; their clients keep what they were reading", async () => {
  await using fixture = await SessionsFixture.create();
  const { guest, sessions } = await connected(fixture);
  const old = await sessions.start(request());
  guest.process('1').print('old output');
  await until(() => old.endOffset === 10);
  const positions = sessions.positions();
  const snapshot = guest.snapshot();
  const out = path.join(fixture.dir, 'export');
  await mkdir(out);
  await sessions.exportTo(out, positions);
  guest.process('1').print(' and more');
  await until(() => old.endOffset === 19);
  const reader = old.read({ offset: 0, signal: new AbortController().signal })[Symbol.asyncIterator]();
  const first = await reader.next();
  await sessions.disconnect();
  await sessions.replaceFrom(out, 'restored to v1');
  assert.deepEqual({ ...old.end, at: '' }, { how: 'lost', reason: 'restored to v1', at: '' });
  let rest = first.value?.type === 'output' ? first.value.bytes.toString() : '';
  for (let next = await reader.next(); !next.done; next = await reader.next())
    rest += next.value.type === 'output' ? next.value.bytes.toString() : next.value.type;
  assert.equal(rest, 'old output and moreend');

  guest.restore(snapshot);
  const fresh = sessions.get('1') ?? assert.fail();
  assert.notEqual(fresh, old);
  await sessions.connect(guest.connect());
  guest.process('1').print(', new output').end(0);
  assert.equal((await readAll(fresh)).stdout, 'old output, new output');
  await until(() => guest.forgotten.includes('1'));
  await sessions[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(path.join(fixture.dir, 'sessions')), ['1']);
});

test('replacing by nothing loses all', async () => {
  await using fixture = await SessionsFixture.create();
  const { sessions } = await connected(fixture);
  const session = await sessions.start(request());
  await sessions.disconnect();
  await sessions.replaceFrom(undefined, 'booted afresh');
  assert.equal(session.end?.how, 'lost');
  assert.equal(sessions.get('1'), undefined);
  await sessions[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(path.join(fixture.dir, 'sessions')), []);
});

/** What happens to a sprite, in any order. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('print' as const), text: fc.string({ minLength: 1, maxLength: 200 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('break-stream' as const, 'break-channel' as const, 'wait' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('checkpoint' as const, 'restore' as const, 'sleep' as const, 'kill-daemon' as const),
    }),
  },
);

test("through any order of breaks, sleeps, checkpoints, restores and daemon crashes, a session's output is what its process printed", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await using fixture = await SessionsFixture.create();
      const guest = new ScriptedGuest();
      let sessions = await fixture.open();
      let connected = true;
      let printed = '';
      let saved:
        | { dir: string; guest: Map<string, ScriptedProcess>; positions: SessionPosition[]; printed: string }
        | undefined;
      await sessions.connect(guest.connect());
      await sessions.start(request());
      const offline = async () => {
        if (connected) await sessions.disconnect();
        connected = false;
      };
      const online = async () => {
        if (!connected) await sessions.connect(guest.connect());
        connected = true;
      };
      let count = 0;
      for (const one of steps) {
        if (one.do === 'print') {
          printed += one.text;
          guest.process('1').print(one.text);
        } else if (one.do === 'break-stream') guest.breakStreams();
        else if (one.do === 'break-channel') {
          guest.breakChannels();
          await offline();
          await online();
        } else if (one.do === 'wait') for (let i = 0; i < 20; i += 1) await turn();
        else if (one.do === 'checkpoint') {
          const dir = path.join(fixture.dir, `checkpoint-${(count += 1)}`);
          saved = { dir, guest: guest.snapshot(), positions: sessions.positions(), printed };
          await mkdir(dir);
          await sessions.exportTo(dir, saved.positions);
        } else if (one.do === 'restore' && saved !== undefined) {
          await offline();
          guest.restore(saved.guest);
          await sessions.replaceFrom(saved.dir, 'restored');
          printed = saved.printed;
          await online();
        } else if (one.do === 'sleep') {
          const memory = guest.snapshot();
          await offline();
          guest.restore(memory);
          await online();
        } else if (one.do === 'kill-daemon') {
          guest.breakChannels();
          connected = false;
          sessions = await fixture.open({ crashed: true });
          await online();
        }
      }
      guest.process('1').end(0);
      const seen = await readAll(sessions.get('1') ?? assert.fail());
      assert.equal(seen.dropped, 0);
      assert.equal(seen.stdout, Buffer.from(printed).toString());
      assert.equal(seen.end?.how, 'exited');
    }),
    { numRuns: 60 },
  );
});
