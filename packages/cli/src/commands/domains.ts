import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { ago } from '../output/human.ts';
import { table } from '../output/table.ts';

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

/** `sylph domains`. */
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
