import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkDenial } from '@sylph/model';
import { command } from '../command.ts';
import { denialKey, denialLine, shownDenials } from '../policy/shown.ts';

/** Between two looks at what was denied. */
const followMs = 2_000;
/** Targets that are looked at while following. */
const followLimit = 1_000;

/** `sylph policy log`. */
export const log = command({
  name: 'log',
  summary: 'show what a sprite was denied',
  description:
    'Counted by target, the last denied first. --follow goes on with what is denied from then on; with --json an object a line.',
  common: ['org', 'sprite'],
  options: {
    follow: { kind: 'flag', short: 'f', description: 'go on with what comes' },
    lines: { kind: 'integer', short: 'n', placeholder: 'N', description: 'the newest N targets; default 100' },
  },
  async run(context, _args, { follow, lines }) {
    const sprite = await context.sprite();
    const { policies } = await context.client();
    const denials = await policies.networkLog(sprite, { limit: lines });
    if (!follow) {
      await context.out.result(denials, () =>
        denials.length === 0 ? `${sprite} was denied nothing\n` : shownDenials(denials),
      );
      return;
    }
    const counts = new Map<string, number>();
    const tell = async (found: readonly NetworkDenial[]): Promise<void> => {
      for (const denial of found.toReversed()) {
        if (counts.get(denialKey(denial)) === denial.count) continue;
        counts.set(denialKey(denial), denial.count);
        await context.out.result(denial, () => `${denialLine(denial)}\n`);
      }
    };
    // Older ones are known, though they are not shown.
    for (const old of await policies.networkLog(sprite, { limit: followLimit })) counts.set(denialKey(old), old.count);
    for (const shown of denials) counts.delete(denialKey(shown));
    for (let found = denials; ; found = await policies.networkLog(sprite, { limit: followLimit })) {
      await tell(found);
      await sleep(followMs);
    }
  },
});
