import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError } from './failure.ts';
import { parseTime, wholeSeconds } from './time.ts';

test('times are Go durations, or seconds', async () => {
  for (const [text, ms] of [
    ['0', 0],
    ['10', 10_000],
    ['31536000', 31_536_000_000],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5s', 1_500],
    ['250ms', 250],
  ] as const)
    assert.equal(await parseTime('--timeout', text), ms, text);
});

test('what is no time is refused by its option', async () => {
  for (const text of ['', 'soon', '-1', '1.5', '5 s', '10d', '9999h'])
    await assert.rejects(
      parseTime('--timeout', text),
      (error: CliError) => error.exitCode === 2 && error.message === `--timeout ${text} is not a time`,
    );
});

test('where seconds are wanted, parts of them are refused', () => {
  assert.equal(wholeSeconds('--idle-timeout', 90_000), 90);
  assert.throws(() => wholeSeconds('--idle-timeout', 1_500), CliError);
});
