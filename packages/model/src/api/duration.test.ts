import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { duration, maxDurationMs, parseDuration } from './duration.ts';

describe('durations', () => {
  it('reads what Go writes', () => {
    const cases: [string, number][] = [
      ['0', 0],
      ['0s', 0],
      ['10s', 10_000],
      ['1m0s', 60_000],
      ['1h0m0.5s', 3_600_500],
      ['1.5s', 1_500],
      ['.5s', 500],
      ['5.s', 5_000],
      ['250ms', 250],
      ['100us', 1],
      ['1µs', 1],
      ['1ns', 1],
      ['+3s', 3_000],
      ['576h', maxDurationMs],
    ];
    for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
  });

  it('refuses everything else', () => {
    for (const text of [
      '',
      '10',
      's',
      '-1s',
      '1 s',
      '1d',
      '10S',
      '1e3s',
      'NaNs',
      '577h',
      '1s2',
      '..5s',
      '1.2.3s',
      'Infinitys',
      '99999999999999999999h',
    ])
      assert.equal(parseDuration(text), undefined, text);
    assert.match(duration.safeParse('soon').error?.issues[0]?.message ?? '', /10s/);
  });

  it('reads back any whole number of hours, minutes, seconds and milliseconds', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
        assert.equal(parseDuration(`${h}h${m}m${s}s${ms}ms`), ((h * 60 + m) * 60 + s) * 1000 + ms);
        assert.equal(
          parseDuration(`${h}h${m}m${s}.${String(ms).padStart(3, '0')}s`),
          ((h * 60 + m) * 60 + s) * 1000 + ms,
        );
      }),
    );
  });

  it('answers any text with a bounded number or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.hmsnuµ+-]{0,40}$/)), (text) => {
        const ms = parseDuration(text);
        assert.ok(ms === undefined || (Number.isInteger(ms) && ms >= 0 && ms <= maxDurationMs));
      }),
    );
  });
});
