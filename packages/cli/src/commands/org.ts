import { command } from '../command.ts';
import { table } from '../output/table.ts';
import { login, logout } from './login.ts';

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list the organizations you are logged in to; asks no server',
  async run(context) {
    const { servers, current } = await context.config();
    const logins = Object.entries(servers).flatMap(([url, { orgs }]) =>
      Object.keys(orgs).map((org) => ({ url, org, current: current?.url === url && current.org === org })),
    );
    await context.out.result(logins, () =>
      logins.length === 0
        ? 'You are logged in nowhere. Log in: sylph login\n'
        : table(
            [{ title: 'ORG' }, { title: 'SERVER' }, { title: 'CURRENT' }],
            logins.map((each) => [{ text: each.org, style: 'strong' }, each.url, each.current ? 'yes' : '']),
          ),
    );
    if ((context.env['SYLPH_TOKEN'] ?? '') !== '') context.out.note('SYLPH_TOKEN is set: it is used instead of them');
  },
});

export const org = command({
  name: 'org',
  aliases: ['orgs', 'organizations', 'o'],
  summary: 'list organizations, log in and out',
  subcommands: [list, { ...login, name: 'auth' }, logout],
});

export const auth = command({
  name: 'auth',
  summary: 'log in without questions',
  subcommands: [{ ...login, name: 'setup', examples: ['sylph auth setup https://sprites.example.org --token TOKEN'] }],
});
