import { parseArgs } from 'node:util';

/** What a run measures. */
export interface BenchOptions {
  /** File for the result, absent: none. */
  json: string | undefined;
  /** Figures to measure; empty: all. */
  only: string[];
  /** Fewer repetitions: a look, not a measurement. */
  quick: boolean;
}

/** Text of `--help`. */
export const usage = `Measures the product beside bare QEMU on this machine.
Usage: npm run bench [-- --json FILE] [--only NAME,…] [--quick]`;

/** Reads the command line. Throws on what it does not know; undefined asks for {@link usage}. */
export function readOptions(args: string[], figures: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'string' },
      only: { type: 'string' },
      quick: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return undefined;
  const only = values.only?.split(',').filter((name) => name !== '') ?? [];
  const unknown = only.filter((name) => !figures.includes(name));
  if (unknown.length > 0) throw new Error(`there is no figure ${unknown.join(', ')}; there are ${figures.join(', ')}`);
  return { json: values.json, only, quick: values.quick ?? false };
}
