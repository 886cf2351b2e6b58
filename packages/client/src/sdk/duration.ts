import { ClientError } from '../errors.ts';

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a duration as Go writes them (`10s`, `1m30s`, `1.5s`, `0`), in hours to milliseconds; undefined for none. Throws `invalid_request`. */
export function durationMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text))
    throw new ClientError('invalid_request', `"${text}" is not a duration`, { hint: 'write for example 10s or 1m30s' });
  let totalMs = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    totalMs += Number(number) * (unitMs[unit as string] as number);
  return Math.ceil(totalMs);
}
