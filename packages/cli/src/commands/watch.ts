import type { Context } from '../context.ts';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 1000;
/** Failures in a row after which watching ends: the server is gone, not busy. */
const maxFailures = 10;

/** Shows a list and then each change of it, until Ctrl+C: redrawn on a terminal, one after the other elsewhere, one JSON document a line with `--json`. */
export async function watchList<T>(
  context: Context,
  read: () => Promise<T>,
  human: (value: T) => string | Promise<string>,
): Promise<never> {
  let last: string | undefined;
  for (let failures = 0; ; await sleep(pollMs)) {
    try {
      const value = await read();
      failures = 0;
      const text = JSON.stringify(value);
      // Ages change by themselves: a terminal is redrawn every time.
      if (text === last && !redraws(context)) continue;
      last = text;
      await context.out.result(value, async () => `${redraws(context) ? '\x1b[H\x1b[2J' : ''}${await human(value)}`);
    } catch (thrown) {
      // The first reading tells at once what is wrong.
      if (last === undefined || ++failures >= maxFailures) throw thrown;
    }
  }
}

function redraws(context: Context): boolean {
  return !context.out.json && process.stdout.isTTY;
}
