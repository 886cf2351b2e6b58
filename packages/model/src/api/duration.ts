import * as z from 'zod';

/** Milliseconds of each unit of Go's `time.ParseDuration`. */
const unitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Longest duration accepted: a timer of Node holds no more (2^31 - 1 ms, some 24 days). */
export const maxDurationMs = 24 * 24 * 3_600_000;

/**
 * Parses a duration as Go writes them: `10s`, `1m0s`, `1.5s`, `0`. Returns milliseconds, rounded up; undefined when it is none, is negative or is longer than {@link maxDurationMs}.
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0' || text === '+0') return 0;
  if (!/^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, number, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g))
    totalMs += Number(number) * (unitMs[unit as string] as number);
  const roundedMs = Math.ceil(Number(totalMs.toFixed(6)));
  return roundedMs <= maxDurationMs ? roundedMs : undefined;
}

/** A duration as Go writes them; output is milliseconds. */
export const duration = z
  .string()
  .max(64)
  .transform((text, context) => {
    const parsedMs = parseDuration(text);
    if (parsedMs !== undefined) return parsedMs;
    context.addIssue({
      code: 'custom',
      message: 'not a duration: write for example 10s, 1m30s, 1.5s or 0, at most 576h',
    });
    return z.NEVER;
  })
  .meta({ description: 'As Go writes durations: 10s, 1m30s, 1.5s, 0', examples: ['10s'] });
