import { usageError } from '../failure.ts';

const name = '[A-Za-z_][A-Za-z0-9_]*';
const pair = new RegExp(`^(${name})=([\\s\\S]*)$`);
const nextPair = new RegExp(`,(?=${name}=)`);
const names = new RegExp(`^${name}(,${name})*$`);

/**
 * Variables of `--env`: `K=V`, `K=V,K2=V2` (a comma followed by a name and `=` separates), or `NAME,NAME2` for the values they have here. Later ones win.
 * Nothing else of the local environment is ever sent.
 */
export function parseEnvironment(given: readonly string[], local: NodeJS.ProcessEnv): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const text of given) {
    if (names.test(text)) {
      for (const key of text.split(',')) {
        const value = local[key];
        if (value === undefined)
          throw usageError(`--env ${key}: there is no such variable here`, 'write --env NAME=VALUE');
        environment[key] = value;
      }
      continue;
    }
    for (const part of text.split(nextPair)) {
      const match = pair.exec(part);
      if (match === null) throw usageError(`--env ${text}: not of the form NAME=VALUE`);
      environment[match[1] as string] = match[2] as string;
    }
  }
  return environment;
}
