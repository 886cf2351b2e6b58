import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ControlAndDataChannels } from './factory.ts';
import { FakeGuest } from './testing/fake-guest.ts';
import { failingWith, mostly, nonsense } from './testing/hostile-guest.ts';

/** Fields of an answer, each near to what is agreed or anything else. */
const fields = fc.record(
  {
    id: fc.string(),
    ok: mostly(fc.boolean()),
    error: mostly(fc.string({ unit: 'binary' })),
    code: mostly(fc.string()),
    version: mostly(fc.constantFrom(0, 1, 1, 1, 2)),
    agent: mostly(fc.string({ unit: 'binary', maxLength: 200 })),
    kernel: mostly(fc.string({ unit: 'binary', maxLength: 200 })),
    bootId: mostly(fc.string({ unit: 'binary', maxLength: 100 })),
    ready: mostly(fc.boolean()),
  },
  { requiredKeys: [] },
);

test('whatever a guest answers to hello: clean texts of a guest that is ready, or a failure', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fields, nonsense), { maxLength: 6 }), fc.nat(5), async (said, withId) => {
      await using guest = await FakeGuest.start({
        control: (line, socket, self) => {
          for (const [index, each] of said.entries()) {
            if (Buffer.isBuffer(each)) socket.write(Buffer.concat([each, Buffer.from('\n')]));
            else socket.write(`${JSON.stringify(index === withId ? { ...each, id: line.id } : each)}\n`);
          }
          self.obey(socket, line);
        },
      });
      await failingWith(['agent_failed'], async () => {
        const signal = AbortSignal.timeout(20_000);
        await using channel = await new ControlAndDataChannels().connect(guest.sockets, { deadlineMs: 15_000, signal });
        const { agent, kernel, bootId } = channel.hello;
        for (const text of [agent, kernel, bootId]) {
          assert.ok(text.length <= 128);
          assert.doesNotMatch(text, /\p{Cc}/u);
        }
      });
    }),
    { numRuns: 50 },
  );
});
