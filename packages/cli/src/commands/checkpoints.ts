import { createdId } from '@sylph/client';
import type { StreamLine } from '@sylph/model';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { CliError } from '../failure.ts';
import { ago, bytes } from '../output/human.ts';
import { pairs, table } from '../output/table.ts';

const idArgument = [{ name: '<id>', description: 'id from `sylph checkpoint list`', completes: 'checkpoint' }] as const;

const create = command({
  name: 'create',
  summary: 'keep disk and memory of this instant',
  common: ['org', 'sprite'],
  options: { comment: { kind: 'text', short: 'm', placeholder: 'TEXT', description: 'what it is for' } },
  async run(context, _args, { comment }) {
    const sprite = await context.sprite();
    const client = await context.client();
    const lines = await follow(
      context,
      `waiting for a checkpoint of ${sprite}`,
      client.checkpoints.create(sprite, { comment }),
    );
    const id = createdId(lines);
    if (id === undefined)
      throw new CliError('the server did not say the id of the checkpoint', {
        code: 'protocol',
        hint: `list them: sylph checkpoint list -s ${sprite}`,
      });
    await context.out.result(
      { sprite, id, comment: comment ?? '' },
      () => `${id}  checkpoint of ${sprite}\nGo back to it: sylph restore ${id} -s ${sprite}\n`,
    );
  },
});

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list checkpoints, newest first',
  common: ['org', 'sprite'],
  options: {
    includeAuto: { kind: 'flag', short: 'a', description: 'with those the server made by itself' },
    history: { kind: 'text', placeholder: 'ID', description: 'only that one and what came of it' },
  },
  async run(context, _args, { includeAuto, history }) {
    const sprite = await context.sprite();
    const checkpoints = await (await context.client()).checkpoints.list(sprite, { includeAuto, history });
    const kept = checkpoints.filter((each) => each.id !== 'Current');
    await context.out.result(checkpoints, () =>
      kept.length === 0
        ? `No checkpoints of ${sprite} yet. Make one: sylph checkpoint create -s ${sprite}\n`
        : table(
            [
              { title: 'ID' },
              { title: 'CREATED' },
              { title: 'KIND' },
              { title: 'SIZE', align: 'right' },
              { title: 'FROM' },
              { title: 'HEALTH' },
              { title: 'COMMENT' },
            ],
            checkpoints.map((each) => [
              { text: each.id, style: each.id === 'Current' ? 'quiet' : 'strong' },
              ago(each.create_time),
              each.kind ?? '',
              each.id === 'Current' ? '' : bytes(each.size_bytes),
              each.source_id ?? '',
              (each.health ?? '') === '' ? 'ok' : { text: each.health, style: 'bad' },
              each.comment ?? '',
            ]),
          ),
    );
  },
});

const info = command({
  name: 'info',
  summary: 'show a checkpoint',
  arguments: idArgument,
  common: ['org', 'sprite'],
  async run(context, [id = '']) {
    const found = await (await context.client()).checkpoints.get(await context.sprite(), id);
    await context.out.result(found, () =>
      pairs([
        ['id', { text: found.id, style: 'strong' }],
        ['created', `${found.create_time} (${ago(found.create_time)})`],
        ['comment', found.comment],
        ['kind', found.kind],
        ['size', bytes(found.size_bytes)],
        ['health', (found.health ?? '') === '' ? 'ok' : { text: found.health, style: 'bad' }],
        ['made by', found.is_auto ? 'the server' : 'request'],
        ['ancestors', (found.history ?? []).join(', ')],
      ]),
    );
  },
});

const remove = command({
  name: 'delete',
  aliases: ['rm'],
  summary: 'delete a checkpoint',
  arguments: idArgument,
  common: ['org', 'sprite'],
  async run(context, [id = '']) {
    const sprite = await context.sprite();
    await (await context.client()).checkpoints.delete(sprite, id);
    await context.out.result({ sprite, id, deleted: true }, () => `${id}  deleted\n`);
  },
});

export const restore = command({
  name: 'restore',
  summary: 'go back to a checkpoint',
  description: 'Processes are back where they were. The present is first kept as an automatic checkpoint.',
  examples: ['sylph restore v3', 'sylph restore v3 --disk'],
  arguments: idArgument,
  common: ['org', 'sprite'],
  options: { disk: { kind: 'flag', description: 'take the disk only and boot it afresh' } },
  async run(context, [id = ''], { disk }) {
    const sprite = await context.sprite();
    const client = await context.client();
    const lines = await follow(
      context,
      `waiting for ${sprite} to go back to ${id}`,
      client.checkpoints.restore(sprite, id, { mode: disk ? 'disk' : undefined }),
    );
    await context.out.result(
      { sprite, id, mode: disk ? 'disk' : 'memory', messages: texts(lines) },
      () => `${sprite}  is back at ${id}\n`,
    );
  },
});

export const checkpoint = command({
  name: 'checkpoint',
  aliases: ['checkpoints'],
  summary: 'create, list, show, restore and delete checkpoints',
  subcommands: [create, list, info, restore, remove],
});

/** Reads a stream to its end, showing its last words while they are waited for. */
function follow(context: Context, what: string, stream: AsyncIterable<StreamLine>): Promise<StreamLine[]> {
  return context.out.waiting(what, async (say) => {
    const lines: StreamLine[] = [];
    for await (const line of stream) {
      lines.push(line);
      const [text] = texts([line]);
      if (line.type === 'info' && text !== undefined && !text.startsWith('ID:'))
        say(`${what}: ${text.replace(/[.…]+$/, '')}`);
    }
    return lines;
  });
}

function texts(lines: readonly StreamLine[]): string[] {
  return lines.map((line) => (line.data ?? '').trim()).filter((text) => text !== '');
}
