import { openUrl } from '../browser/open-url.ts';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { CliError, usageError } from '../failure.ts';
import { ago } from '../output/human.ts';
import { ask, canAsk } from '../output/prompt.ts';
import { table } from '../output/table.ts';
import { wholeSeconds } from '../time.ts';

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

const createLink = command({
  name: 'create',
  summary: 'make a URL that opens a sprite without an account',
  description: 'It is shown this once. Who has it can open the sprite, until it expires or is revoked.',
  examples: ['sylph links create', 'sylph links create --port 3000 --expires 24h --password'],
  common: ['org', 'sprite'],
  options: {
    port: { kind: 'integer', placeholder: 'PORT', description: 'port of the sprite; default where its URL leads' },
    expires: { kind: 'time', description: 'life of the link; default 7 days' },
    forever: { kind: 'flag', description: 'until it is revoked' },
    password: {
      kind: 'flag',
      description: 'ask whoever opens it for a password; it is read here from the terminal, or from stdin',
    },
    description: { kind: 'text', placeholder: 'TEXT', description: 'what it is for, shown in the list' },
  },
  async run(context, _args, { port, expires, forever, password, description }) {
    if (forever && expires !== undefined) throw usageError('--expires and --forever exclude each other');
    const expiresInS = forever ? null : expires === undefined ? undefined : wholeSeconds('--expires', expires);
    const sprite = await context.sprite();
    const { links } = await context.client();
    const link = await links.create(sprite, {
      port,
      expiresInS,
      password: password ? await readPassword() : undefined,
      description,
    });
    await context.out.result(link, () => `${link.url}\n`);
  },
});

const listLinks = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list preview links',
  common: ['org', 'sprite'],
  async run(context) {
    const sprite = await context.sprite();
    const found = await (await context.client()).links.list(sprite);
    await context.out.result(found, () =>
      found.length === 0
        ? `${sprite} has no preview links. Make one: sylph links create -s ${sprite}\n`
        : table(
            [
              { title: 'ID' },
              { title: 'PORT', align: 'right' },
              { title: 'PASSWORD' },
              { title: 'CREATED' },
              { title: 'EXPIRES' },
              { title: 'DESCRIPTION' },
            ],
            found.map((link) => [
              link.id,
              link.port === null ? '' : String(link.port),
              link.has_password ? 'yes' : '',
              ago(link.created_at),
              link.expires_at ?? 'never',
              link.description,
            ]),
          ),
    );
  },
});

const revokeLink = command({
  name: 'revoke',
  aliases: ['delete', 'rm'],
  summary: 'end preview links at once',
  arguments: [{ name: '<id…>', description: 'ids from `sylph links list`' }],
  common: ['org', 'sprite'],
  async run(context, ids) {
    const sprite = await context.sprite();
    const { links } = await context.client();
    for (const id of ids) await links.revoke(sprite, id);
    await context.out.result({ sprite, revoked: ids }, () => ids.map((id) => `${id} revoked\n`).join(''));
  },
});

export const links = command({
  name: 'links',
  aliases: ['link'],
  summary: 'preview links: show a sprite to people without an account',
  subcommands: [createLink, listLinks, revokeLink],
});

const addDomain = command({
  name: 'add',
  summary: 'let domains lead to a sprite',
  description: 'Point their DNS at this server yourself, or at the proxy in front of it.',
  arguments: [{ name: '<domain…>', description: 'such as app.example.com' }],
  common: ['org', 'sprite'],
  async run(context, names) {
    const { sprite, domains } = await domainsOf(context);
    const added: { domain: string }[] = [];
    for (const name of names) added.push(await domains.add(sprite, name.toLowerCase()));
    await context.out.result(added, () => added.map(({ domain }) => `${domain} leads to ${sprite}\n`).join(''));
  },
});

const listDomains = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list the domains of a sprite',
  common: ['org', 'sprite'],
  async run(context) {
    const { sprite, domains } = await domainsOf(context);
    const found = await domains.list(sprite);
    await context.out.result(found, () =>
      found.length === 0
        ? `No domain leads to ${sprite}. Add one: sylph domains add -s ${sprite} app.example.com\n`
        : table(
            [{ title: 'DOMAIN' }, { title: 'ADDED' }],
            found.map(({ domain, created_at: at }) => [domain, ago(at)]),
          ),
    );
  },
});

const removeDomain = command({
  name: 'remove',
  aliases: ['rm', 'delete'],
  summary: 'take domains from a sprite',
  arguments: [{ name: '<domain…>', description: 'from `sylph domains list`' }],
  common: ['org', 'sprite'],
  async run(context, names) {
    const { sprite, domains } = await domainsOf(context);
    for (const name of names) await domains.remove(sprite, name);
    await context.out.result({ sprite, removed: names }, () => names.map((name) => `${name} removed\n`).join(''));
  },
});

export const domains = command({
  name: 'domains',
  aliases: ['domain'],
  summary: 'domains of your own that lead to a sprite',
  subcommands: [addDomain, listDomains, removeDomain],
});

async function domainsOf(context: Context) {
  const sprite = await context.sprite();
  return { sprite, domains: (await context.client()).domains };
}

async function opened(address: string): Promise<void> {
  try {
    await openUrl(address);
  } catch (cause) {
    throw new CliError('there is no browser to open it with', { code: 'failed', hint: 'Open it yourself.', cause });
  }
}

async function readPassword(): Promise<string> {
  if (canAsk()) {
    const password = await ask('Password of the link: ', { hidden: true });
    if (password === '') throw usageError('a password cannot be empty');
    return password;
  }
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += String(chunk);
  const password = text.replace(/\r?\n$/, '');
  if (password === '')
    throw usageError('there is no password on stdin', 'echo PASSWORD | sylph links create --password');
  return password;
}
