import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestCallLine, maxCallLineBytes } from '@sylph/model';
import fc from 'fast-check';
import { failingWith, hostileAnswer, HostileGuest, mostly, nonsense } from './testing/hostile-guest.ts';

const signal = new AbortController().signal;
const callLine = fc
  .record(
    {
      id: mostly(fc.stringMatching(/^[0-9]{1,20}$/)),
      method: mostly(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE')),
      path: mostly(fc.webPath()),
      body: mostly(fc.string()),
      tasksMs: mostly(fc.nat()),
    },
    { requiredKeys: [] },
  )
  .map((value) => Buffer.from(`${JSON.stringify(value)}\n`));

test('whatever a guest calls, it is a call that fits, or the end', async () => {
  await using guest = await HostileGuest.start();
  await fc.assert(
    fc.asyncProperty(hostileAnswer(fc.oneof(callLine, nonsense)), async (said) => {
      guest.said = said;
      await failingWith(['agent_failed'], async () => {
        for await (const line of guest.channel.calls.listen({ signal })) {
          assert.ok(guestCallLine.safeParse(line).success);
          assert.equal(said.status, 200);
        }
        assert.fail('a guest that ends its calls is not heard out');
      });
    }),
    { numRuns: 300 },
  );
  guest.said = {
    status: 200,
    parts: [Buffer.alloc(maxCallLineBytes + 1, 'x'), Buffer.from('\n{"tasksMs":7}\n')],
    reset: false,
  };
  for await (const line of guest.channel.calls.listen({ signal })) {
    assert.deepEqual(line, { tasksMs: 7 }, 'a line beyond the limit is left out');
    break;
  }
});

test('whatever a guest says to an answer, giving it ends', async () => {
  await using guest = await HostileGuest.start();
  const call = { id: '1', method: 'GET', path: '/info', body: '' } as const;
  await fc.assert(
    fc.asyncProperty(
      hostileAnswer(nonsense),
      fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 4 }),
      async (said, lengths) => {
        guest.said = said;
        async function* body(): AsyncGenerator<string, void, undefined> {
          for (const length of lengths) yield 'x'.repeat(length);
        }
        const answer = { status: 200, contentType: 'text/plain', body: body() };
        await guest.channel.calls.answer(call, answer, { signal: AbortSignal.timeout(10_000) });
      },
    ),
    { numRuns: 200 },
  );
});
