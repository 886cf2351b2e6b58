import type { UpdateSpriteRequest } from '@sylph/model';
import { command } from '../command.ts';
import { usageError } from '../failure.ts';
import { wholeSeconds } from '../time.ts';

const update = command({
  name: 'update',
  summary: 'change settings of a sprite',
  description: 'What is not named stays as it is. Labels are replaced all together.',
  examples: [
    'sylph config update web --url-auth public',
    'sylph config update --label prod --label web --idle-timeout 5m',
  ],
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org', 'sprite'],
  options: {
    urlAuth: {
      kind: 'text',
      placeholder: 'WHO',
      description: 'who may use its URL: public (everybody) or sprite (who has a token)',
      choices: ['public', 'sprite'],
    },
    label: { kind: 'list', placeholder: 'TEXT', description: 'label; repeatable' },
    clearLabels: { kind: 'flag', description: 'remove all labels' },
    idleTimeout: { kind: 'time', description: 'sleep after so long without use; 0 = never' },
  },
  async run(context, [name], { urlAuth, label, clearLabels, idleTimeout }) {
    if (clearLabels && label.length > 0) throw usageError('--label and --clear-labels exclude each other');
    const change: UpdateSpriteRequest = {};
    if (urlAuth !== undefined) {
      if (urlAuth !== 'public' && urlAuth !== 'sprite')
        throw usageError(`--url-auth ${urlAuth} is not known`, 'write public or sprite');
      change.url_settings = { auth: urlAuth };
    }
    if (label.length > 0) change.labels = label;
    if (clearLabels) change.clear_labels = true;
    if (idleTimeout !== undefined) change.idle_timeout_s = wholeSeconds('--idle-timeout', idleTimeout);
    if (Object.keys(change).length === 0)
      throw usageError('no setting is named', 'for example: sylph config update --url-auth public');
    const sprite = await context.sprite(name);
    const client = await context.client();
    const updated = await client.sprites.update(sprite, change);
    await context.out.result(updated, () => `${updated.name}  updated\n`);
  },
});

export const config = command({
  name: 'config',
  summary: 'change settings of a sprite',
  subcommands: [update],
});
