import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InputFeeders } from './input-feeders.ts';
import { FakeSession } from './testing/fake-session.ts';

describe('the feeders of a session', () => {
  it('are counted per session, and each is counted out once', () => {
    const feeders = new InputFeeders();
    const request = { argv: ['cat'], path: 'cat', env: {}, dir: '/', user: 'sprite', tty: null, stdin: true };
    const [one, other] = ['1', '2'].map((id) => new FakeSession(id, { ...request, maxRunAfterDisconnectMs: null })) as [
      FakeSession,
      FakeSession,
    ];
    const first = feeders.add(one);
    const second = feeders.add(one);
    assert.deepEqual([feeders.has(one), feeders.has(other)], [true, false]);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    assert.equal(feeders.has(one), true);
    second[Symbol.dispose]();
    assert.equal(feeders.has(one), false);
  });
});
