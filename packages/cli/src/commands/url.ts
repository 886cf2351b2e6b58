import { openUrl } from '../browser/open-url.ts';
import { command } from '../command.ts';
import { CliError, usageError } from '../failure.ts';

/** `sylph url`. */
export const url = command({
  name: 'url',
  summary: 'show the URL of a sprite, or change who may use it',
  description:
    'A request to the URL wakes the sprite. It leads to the service with an HTTP port, else to port 8080, else to the first port that serves HTTP; PORT--NAME-… leads to any port.',
  examples: ['sylph url', 'sylph url -s web --auth public', 'sylph url --open'],
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org', 'sprite'],
  options: {
    auth: {
      kind: 'text',
      placeholder: 'WHO',
      description: 'who may use it: public (everybody) or sprite (who has a token, or a preview link)',
      choices: ['public', 'sprite'],
    },
    open: { kind: 'flag', description: 'open it in the browser' },
  },
  async run(context, [name], { auth, open }) {
    if (auth !== undefined && auth !== 'public' && auth !== 'sprite')
      throw usageError(`--auth ${auth} is not known`, 'write public or sprite');
    const sprite = await context.sprite(name);
    const { sprites } = await context.client();
    const shown =
      auth === undefined ? await sprites.get(sprite) : await sprites.update(sprite, { url_settings: { auth } });
    await context.out.result({ url: shown.url, auth: shown.url_settings?.auth }, () => `${shown.url}\n`);
    if (auth !== undefined)
      context.out.note(`sylph: ${auth === 'public' ? 'everybody' : 'who has a token or a link'} may use it`);
    if (open) await opened(shown.url);
  },
});

async function opened(address: string): Promise<void> {
  try {
    await openUrl(address);
  } catch (cause) {
    throw new CliError('there is no browser to open it with', { code: 'failed', hint: 'Open it yourself.', cause });
  }
}
