import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CommandQueue } from './queue.ts';

describe('the command queue', () => {
  it('runs one at a time, in order, and joins equal neighbours', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.constantFrom(undefined, 'a', 'b'), { maxLength: 20 }),
        async (scheduler, keys) => {
          const queue = new CommandQueue();
          const ran: number[] = [];
          let running = 0;
          const results = keys.map((key, index) =>
            queue.run(key, async () => {
              assert.equal(++running, 1);
              ran.push(index);
              await scheduler.schedule(Promise.resolve());
              running--;
              if (index % 3 === 2) throw new Error(String(index));
              return index;
            }),
          );
          const leaders = keys.map((key, index) => (key !== undefined && keys[index - 1] === key ? undefined : index));
          const leaderOf = (index: number): number =>
            leaders.slice(0, index + 1).findLast((leader) => leader !== undefined) as number;
          const settled = Promise.allSettled(results as Promise<number>[]);
          await scheduler.waitFor(settled);
          for (const [index, result] of (await settled).entries()) {
            const leader = leaderOf(index);
            if (leader % 3 === 2)
              assert.equal(result.status === 'rejected' && (result.reason as Error).message, String(leader));
            else assert.equal(result.status === 'fulfilled' && result.value, leader);
          }
          assert.deepEqual(
            ran,
            leaders.filter((leader) => leader !== undefined),
          );
          assert.ok(queue.idle);
        },
      ),
    );
  });
});
