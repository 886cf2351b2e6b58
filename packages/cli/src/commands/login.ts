import { parseBaseUrl, SylphClient } from '@sylph/client';
import { command } from '../command.ts';
import { readConfig, writeConfig } from '../config/config-file.ts';
import { defaultUrl, resolveUrl } from '../config/target.ts';
import { CliError, usageError } from '../failure.ts';
import { ask, canAsk } from '../output/prompt.ts';

export const login = command({
  name: 'login',
  summary: 'save the address of a server and a token',
  description:
    'Asks for what is missing, on a terminal only. The token is tried before it is saved. `sylphd token create` makes one.',
  examples: ['sylph login', 'sylph login https://sprites.example.org --token TOKEN'],
  arguments: [{ name: '[url]', description: `address of the server, default ${defaultUrl}` }],
  options: { token: { kind: 'text', placeholder: 'TOKEN', description: 'the token; "-" reads it from stdin' } },
  async run(context, [given], options) {
    const { config, path } = { config: await context.config(), path: context.configPath };
    const known = resolveUrl({ url: given ?? context.target.url }, context.env, config).url;
    const asks = canAsk() && !context.out.json;
    const typed =
      given === undefined && context.target.url === undefined && options.token === undefined && asks
        ? (await ask(`Server address [${known}]: `)).trim()
        : '';
    const url = parseBaseUrl(typed === '' ? known : typed);
    const token = await readToken(options.token, asks);
    const page = await context.out.waiting(`waiting for ${url}`, () =>
      new SylphClient({ baseUrl: url, token }).sprites.page({ pageSize: 1 }),
    );
    const org = page.org?.name ?? page.name;
    if (typeof org !== 'string' || org === '')
      throw new CliError(`${url} does not say which organization the token belongs to`, {
        code: 'protocol',
        hint: 'is this the address of a sylphd?',
      });

    // Read anew: somebody may have logged in elsewhere while we asked.
    const latest = await readConfig(path);
    const server = (latest.servers[url] ??= { orgs: {} });
    server.orgs[org] = { token };
    latest.current = { url, org };
    await writeConfig(path, latest);
    await context.out.result({ url, org, config: path }, () => `logged in at ${url} as ${org}\n`);
  },
});

export const logout = command({
  name: 'logout',
  summary: "forget a server's token",
  common: ['org'],
  options: { all: { kind: 'flag', description: 'forget every login' } },
  async run(context, _args, { all }) {
    const config = await context.config();
    const forgotten: { url: string; org: string }[] = [];
    const wanted = all ? undefined : { url: context.target.url ?? config.current?.url, org: context.target.org };
    for (const [url, server] of Object.entries(config.servers)) {
      if (wanted !== undefined && wanted.url !== url) continue;
      const ofUrl =
        wanted?.org ?? (wanted !== undefined && config.current?.url === url ? config.current.org : undefined);
      for (const org of Object.keys(server.orgs)) {
        if (ofUrl !== undefined && ofUrl !== org) continue;
        delete server.orgs[org];
        forgotten.push({ url, org });
      }
      if (Object.keys(server.orgs).length === 0) delete config.servers[url];
    }
    if (forgotten.length === 0)
      throw new CliError('there is no such login', {
        code: 'not_found',
        hint: `known: ${Object.keys(config.servers).join(', ') || 'none'}`,
      });
    if (config.current !== null && config.servers[config.current.url]?.orgs[config.current.org] === undefined)
      config.current = firstLogin(config.servers);
    await writeConfig(context.configPath, config);
    await context.out.result({ forgotten, current: config.current }, () =>
      forgotten.map(({ url, org }) => `logged out of ${org} at ${url}\n`).join(''),
    );
  },
});

function firstLogin(servers: Record<string, { orgs: Record<string, unknown> }>): { url: string; org: string } | null {
  for (const [url, { orgs }] of Object.entries(servers)) for (const org of Object.keys(orgs)) return { url, org };
  return null;
}

async function readToken(option: string | undefined, asks: boolean): Promise<string> {
  if (option !== undefined && option !== '-') return option;
  if (option === '-') {
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk as string;
    if (text.trim() !== '') return text.trim();
    throw usageError('there is no token on stdin');
  }
  if (!asks) throw usageError('a token is missing, and there is no terminal to ask on', 'say --token TOKEN');
  const token = (await ask('Token: ', { hidden: true })).trim();
  if (token === '') throw usageError('a token is missing', '`sylphd token create` makes one');
  return token;
}
