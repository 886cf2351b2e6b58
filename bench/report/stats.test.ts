import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summarize } from './stats.ts';

describe('summaries', () => {
  it('take the middle and the nearest rank', () => {
    assert.deepEqual(summarize([3, 1, 2]), { n: 3, median: 2, p99: 3, min: 1, max: 3 });
    assert.equal(summarize([4, 1, 3, 2])?.median, 2.5);
    assert.equal(summarize(Array.from({ length: 200 }, (_, index) => index + 1))?.p99, 198);
    assert.equal(summarize([]), undefined);
  });
});
