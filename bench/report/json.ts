import type { MachineFacts } from './machine.ts';
import type { Row } from './row.ts';
import { summarize } from './stats.ts';
import { isMet, ratio } from './table.ts';

/** The result as JSON, samples included, with what it was measured on. */
export function renderJson(
  rows: readonly Row[],
  run: {
    machine: MachineFacts;
    startedAt: string;
    durationS: number;
    quick: boolean;
    lost: string[];
    failures: { figure: string; reason: string }[];
  },
): string {
  const figures = rows.map((row) => ({
    title: row.title,
    unit: row.unit,
    ours: { ...summarize(row.ours), samples: row.ours },
    floor: { ...summarize(row.floor), samples: row.floor },
    ratio: ratio(row) ?? null,
    target: row.target?.text ?? null,
    met: isMet(row) ?? null,
    floorDoes: row.floorDoes,
  }));
  return `${JSON.stringify({ version: 1, ...run, figures }, null, 2)}\n`;
}
