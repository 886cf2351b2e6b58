import { usageError } from './failure.ts';

/** What a time is written as, for the help of options that take one. */
export const timeHelp = 'such as 90s, 1m30s; a plain number is seconds';

/** A time as a person writes it, ms: as Go writes durations, or a plain number of seconds. Throws a usage error that names `option`. */
export async function parseTime(option: string, text: string): Promise<number> {
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1000;
  // What knows the model takes longer to load than most commands take.
  const { parseDuration } = await import('@sylph/model');
  const ms = parseDuration(text);
  if (ms === undefined) throw usageError(`${option} ${text} is not a time`, 'write for example 10s, 1m30s, 1.5s or 10');
  return ms;
}

/** Whole seconds of a time, where nothing finer is known. Throws a usage error. */
export function wholeSeconds(option: string, ms: number): number {
  if (ms % 1000 === 0) return ms / 1000;
  throw usageError(`${option} takes whole seconds`, 'write for example 30s or 5m');
}
