import { command } from '../command.ts';
import { usageError } from '../failure.ts';
import { ago } from '../output/human.ts';
import { ask, canAsk } from '../output/prompt.ts';
import { table } from '../output/table.ts';
import { wholeSeconds } from '../time.ts';

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

/** `sylph links`. */
export const links = command({
  name: 'links',
  aliases: ['link'],
  summary: 'preview links: show a sprite to people without an account',
  subcommands: [createLink, listLinks, revokeLink],
});

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
