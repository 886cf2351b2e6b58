/** Samples in short. p99 is the nearest rank: with fewer than 100 samples the largest. */
export interface Summary {
  n: number;
  median: number;
  p99: number;
  min: number;
  max: number;
}

/** Undefined for no samples. */
export function summarize(samples: readonly number[]): Summary | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = (share: number): number => sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] as number;
  if (sorted.length === 0) return undefined;
  return {
    n: sorted.length,
    median: middle(sorted),
    p99: rank(0.99),
    min: sorted[0] as number,
    max: sorted.at(-1) as number,
  };
}

function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[half] as number)
    : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}
