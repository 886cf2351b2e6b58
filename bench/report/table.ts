import type { Row } from './row.ts';
import { summarize } from './stats.ts';

const heads = ['figure', 'unit', 'ours p50', 'p99', 'n', 'floor p50', 'p99', 'n', 'ratio', 'target', 'met'];

/** The result as aligned text: the table, then what the floor of each figure does. */
export function renderTable(rows: readonly Row[]): string {
  const lines = [heads, ...rows.map(cells)];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => (line[column] as string).length)));
  const isText = (column: number): boolean => [0, 1, 9, 10].includes(column);
  const table = lines.map((line) =>
    line
      .map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number),
      )
      .join('  ')
      .trimEnd(),
  );
  table.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  const titleWidth = Math.max(...rows.map(({ title }) => title.length), 0);
  const notes = rows.map(({ title, floorDoes }) => `  ${title.padEnd(titleWidth)}  ${floorDoes}`);
  return [...table, '', 'What the floor is, bare QEMU without a daemon:', ...notes].join('\n');
}

/** Figures that miss what they are to reach. */
export function missed(rows: readonly Row[]): Row[] {
  return rows.filter((row) => isMet(row) === false);
}

/** Undefined without a target. */
export function isMet(row: Row): boolean | undefined {
  const ours = summarize(row.ours);
  return ours && row.target?.met(ours, summarize(row.floor));
}

/** Median over median; undefined without a floor or over nothing. */
export function ratio(row: Row): number | undefined {
  const [ours, floor] = [summarize(row.ours), summarize(row.floor)];
  return ours && floor && floor.median > 0 ? ours.median / floor.median : undefined;
}

function cells(row: Row): string[] {
  const [ours, floor] = [summarize(row.ours), summarize(row.floor)];
  const numbers = (summary: typeof ours): string[] =>
    summary ? [short(summary.median), short(summary.p99), String(summary.n)] : ['-', '-', '-'];
  const met = isMet(row);
  return [
    row.title,
    row.unit,
    ...numbers(ours),
    ...numbers(floor),
    ratio(row)?.toFixed(2) ?? '-',
    row.target?.text ?? '',
    met === undefined ? '' : met ? 'yes' : 'NO',
  ];
}

/** Three digits or the whole number. */
function short(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value === 0 ? '0' : value.toFixed(digits);
}
