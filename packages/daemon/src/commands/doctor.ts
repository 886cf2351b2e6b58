import { Command } from 'commander';
import { makeDataDir } from '../data-dir.ts';
import { checks } from '../doctor/checks.ts';
import { configOf } from './settings.ts';

/** `sylphd doctor`: what this host lacks, with remedies. Exit code 1 when something stops sprites from running. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check whether sprites can run on this host')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const config = configOf(command);
      await makeDataDir(config['data-dir']);
      const results = [];
      for (const { name, check } of checks) results.push({ name, ...(await check(config)) });
      if (options.json) console.log(JSON.stringify(results, null, 2));
      else {
        const marks = { ok: 'ok  ', degraded: 'warn', broken: 'FAIL' } as const;
        for (const { name, status, detail, remedy } of results) {
          console.log(`${marks[status]}  ${name.padEnd(14)}  ${detail}`);
          if (remedy !== undefined && status !== 'ok') console.log(`${' '.repeat(22)}→ ${remedy}`);
        }
      }
      if (results.some(({ status }) => status === 'broken')) process.exitCode = 1;
    });
}
