import type { Sprite } from '@sylph/model';
import { command, type AnyCommand } from '../command.ts';
import { ago, status } from '../output/human.ts';
import { pairs, table } from '../output/table.ts';
import { usageError } from '../failure.ts';
import type { SylphClient } from '@sylph/client';

const spriteArgument = [{ name: '[name]', description: 'sprite', completes: 'sprite' }] as const;

/** Commands that take a sprite and answer with it. */
function simple(
  name: string,
  summary: string,
  words: { waiting: string; done: string },
  call: (client: SylphClient, sprite: string) => Promise<Sprite | undefined>,
): AnyCommand {
  return command({
    name,
    summary,
    arguments: spriteArgument,
    common: ['org', 'sprite'],
    async run(context, [named]) {
      const sprite = await context.sprite(named);
      const client = await context.client();
      const result = await context.out.waiting(`waiting for ${sprite} to ${words.waiting}`, () => call(client, sprite));
      await context.out.result(
        result ?? { name: sprite },
        () =>
          `${sprite}  ${words.done}${result?.last_start === null || result?.last_start === undefined || name === 'suspend' ? '' : ` (${startedHow(result.last_start)})`}\n`,
      );
    },
  });
}

function startedHow(start: NonNullable<Sprite['last_start']>): string {
  const from = start.how === 'checkpoint' ? `checkpoint ${start.checkpoint ?? ''}` : start.how;
  return `from ${from}, ${Math.round(start.duration_ms)} ms`;
}

export const start = simple('start', 'wake a sprite', { waiting: 'wake', done: 'runs' }, (client, sprite) =>
  client.sprites.start(sprite),
);
export const suspend = simple(
  'suspend',
  'put a sprite to sleep, memory and all',
  { waiting: 'go to sleep', done: 'sleeps' },
  (client, sprite) => client.sprites.suspend(sprite),
);
export const recover = simple(
  'recover',
  'bring a failed sprite back from the best state there is',
  { waiting: 'recover', done: 'is back' },
  (client, sprite) => client.sprites.recover(sprite),
);
export const upgrade = simple(
  'upgrade',
  'restart a sprite into the newest kernel and agent',
  { waiting: 'restart', done: 'is upgraded' },
  (client, sprite) => client.sprites.upgrade(sprite),
);

export const restart = command({
  name: 'restart',
  summary: 'boot a sprite afresh from its disk',
  arguments: spriteArgument,
  common: ['org', 'sprite'],
  async run(context, [named]) {
    const sprite = await context.sprite(named);
    const client = await context.client();
    const result = await context.out.waiting(`waiting for ${sprite} to restart`, () => client.sprites.restart(sprite));
    await context.out.result(result, () => `${sprite}  restarted\n`);
  },
});

export const check = command({
  name: 'check',
  summary: "ask a sprite's agent how it is; wakes nothing",
  arguments: spriteArgument,
  common: ['org', 'sprite'],
  async run(context, [named]) {
    const result = await (await context.client()).sprites.check(await context.sprite(named));
    await context.out.result(result, () =>
      pairs([
        ['sprite', result.sprite_name],
        ['status', { text: result.status, style: result.status === 'unhealthy' ? 'bad' : 'good' }],
        ['reason', result.reason],
        ['took', `${Math.round(result.elapsed * 10) / 10} ms`],
      ]),
    );
    return result.status === 'unhealthy' ? 1 : 0;
  },
});

export const fork = command({
  name: 'fork',
  summary: 'make new sprites that go on where this one is',
  description: 'From the present, running or asleep, or from a checkpoint. With --count N the names get -1 to -N.',
  examples: ['sylph fork attempt', 'sylph fork attempt --count 10', 'sylph fork old --checkpoint v2 -s web'],
  arguments: [{ name: '<new-name>', description: 'name of the fork' }],
  common: ['org', 'sprite'],
  options: {
    checkpoint: { kind: 'text', placeholder: 'ID', description: 'start from this checkpoint' },
    count: { kind: 'integer', placeholder: 'N', description: 'how many' },
    label: { kind: 'list', placeholder: 'TEXT', description: 'label; repeatable' },
  },
  async run(context, [name = ''], { checkpoint, count, label }) {
    if (count === 0) throw usageError('--count 0: there is nothing to make');
    const sprite = await context.sprite();
    const client = await context.client();
    const forks = await context.out.waiting(`waiting for ${sprite} to be forked`, () =>
      client.sprites.fork(sprite, {
        name,
        ...(checkpoint === undefined ? {} : { checkpoint }),
        ...(count === undefined ? {} : { count }),
        ...(label.length === 0 ? {} : { labels: label }),
      }),
    );
    await context.out.result(forks, () =>
      table(
        [{ title: 'NAME' }, { title: 'STATUS' }, { title: 'CREATED' }],
        forks.map((each) => [{ text: each.name, style: 'strong' }, status(each), ago(each.created_at)]),
      ),
    );
  },
});
