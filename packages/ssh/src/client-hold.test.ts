import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session } from '@sylph/engine';
import { ClientHold } from './client-hold.ts';

/** Who is attached to a session. */
function attachable(): { session: Session; counts: { awake: number; quiet: number } } {
  const counts = { awake: 0, quiet: 0 };
  const attach = ({ awake }: { awake: boolean } = { awake: true }): Disposable => {
    const kind = awake ? 'awake' : 'quiet';
    counts[kind] += 1;
    return { [Symbol.dispose]: () => void (counts[kind] -= 1) };
  };
  return { session: { attach } as unknown as Session, counts };
}

test('a shell lets its sprite sleep; a command keeps it awake until both were silent for long', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const pass = (ms: number): void => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  const shell = attachable();
  {
    using hold = new ClientHold(shell.session, 0);
    hold.heard();
    assert.deepEqual(shell.counts, { awake: 0, quiet: 1 });
  }
  assert.deepEqual(shell.counts, { awake: 0, quiet: 0 });

  const command = attachable();
  {
    using hold = new ClientHold(command.session, 1_000);
    assert.deepEqual(command.counts, { awake: 1, quiet: 1 });
    pass(900);
    hold.heard();
    pass(900);
    assert.equal(command.counts.awake, 1, 'it was heard meanwhile');
    pass(200);
    assert.deepEqual(command.counts, { awake: 0, quiet: 1 });
    hold.heard();
    assert.deepEqual(command.counts, { awake: 1, quiet: 1 });
  }
  assert.deepEqual(command.counts, { awake: 0, quiet: 0 });
});
