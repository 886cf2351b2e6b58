import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aboveFloor, atMost, shareOfFloor, timesFloor, type Row } from './row.ts';
import { isMet, missed, ratio, renderTable } from './table.ts';

const row = (ours: number[], floor: number[], target?: Row['target']): Row => ({
  title: 'wake',
  unit: 'ms',
  ours,
  floor,
  floorDoes: 'the same',
  ...(target && { target }),
});

describe('the table', () => {
  it('judges medians against each kind of target', () => {
    assert.equal(isMet(row([14], [10], timesFloor(1.5))), true);
    assert.equal(isMet(row([16], [10], timesFloor(1.5))), false);
    assert.equal(isMet(row([7], [10], shareOfFloor(0.7))), true);
    assert.equal(isMet(row([16], [10], aboveFloor(5, 'ms'))), false);
    assert.equal(isMet(row([0], [], atMost(0, ''))), true);
    assert.equal(isMet(row([1], [1])), undefined);
    assert.deepEqual(missed([row([1], [1], timesFloor(2)), row([3], [1], timesFloor(2))]).length, 1);
  });

  it('shows ratios only where there is a floor', () => {
    assert.equal(ratio(row([15], [10])), 1.5);
    assert.equal(ratio(row([15], [])), undefined);
    const text = renderTable([row([15], [10], timesFloor(1.5)), row([], [])]);
    assert.match(text, /wake +ms +15\.0 +15\.0 +1 +10\.0 +10\.0 +1 +1\.50 +≤ 1\.5× floor +yes/);
    assert.match(text, /wake +the same/);
  });
});
