import path from 'node:path';
import type { Repository } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { openSqliteRepository } from '@sylph/store-sqlite';
import { Command } from 'commander';
import { createToken } from '../auth/tokens.ts';
import { makeDataDir } from '../data-dir.ts';
import { configOf } from './settings.ts';

async function withRepository<T>(command: Command, work: (repository: Repository) => Promise<T>): Promise<T> {
  const dataDir = configOf(command)['data-dir'];
  await makeDataDir(dataDir);
  await using repository = openSqliteRepository(path.join(dataDir, 'sylph.db'));
  return await work(repository);
}

/** `sylphd token create|list|revoke`. They work on the data directory, with or without a daemon running on it. */
export function tokenCommand(): Command {
  const token = new Command('token').description('manage API tokens');
  token
    .command('create')
    .description('make a token and print it; it cannot be shown again')
    .option('--org <slug>', 'organization it belongs to, made when missing', 'main')
    .option('--description <text>', 'what it is for', '')
    .option('--expires-in <days>', 'days until it expires; default: never')
    .action(async (options: { org: string; description: string; expiresIn?: string }, command: Command) => {
      const expiresAt =
        options.expiresIn === undefined
          ? null
          : new Date(Date.now() + days(options.expiresIn) * 86_400_000).toISOString();
      console.log(
        await withRepository(command, (repository) =>
          createToken(repository, { org: options.org, description: options.description, expiresAt }),
        ),
      );
    });
  token
    .command('list')
    .description('list tokens, without their secrets')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const rows = await withRepository(command, async (repository) => {
        const tokens = await repository.tokens();
        return Promise.all(
          tokens.map(async ({ secretHash: _, ...row }) => ({
            ...row,
            org: (await repository.org(row.orgId))?.slug ?? row.orgId,
          })),
        );
      });
      if (options.json) return console.log(JSON.stringify(rows, null, 2));
      if (rows.length === 0) return console.error('No tokens yet. Make one with: sylphd token create');
      for (const row of rows) {
        const state =
          row.revokedAt !== null
            ? 'revoked'
            : row.expiresAt !== null && row.expiresAt < new Date().toISOString()
              ? 'expired'
              : 'valid';
        console.log(
          `${row.id}  ${row.org.padEnd(16)}  ${state.padEnd(7)}  ${row.createdAt.slice(0, 10)}  ${row.description}`,
        );
      }
    });
  token
    .command('revoke')
    .description('let no new request in with a token; what is open goes on to its end')
    .argument('<id>', 'token id, as token list shows it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const revoked = await withRepository(command, (repository) =>
        repository.revokeToken(id, new Date().toISOString()),
      );
      if (!revoked)
        throw new SylphError('not_found', `there is no valid token ${id}`, { hint: 'sylphd token list shows them.' });
      console.error(`Revoked ${id}.`);
    });
  return token;
}

function days(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 36_500))
    throw new SylphError('invalid_request', `--expires-in ${text} is not a number of days`);
  return value;
}
