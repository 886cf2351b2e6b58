import { paint, printable, type Style } from './style.ts';

/** A cell: its text, and how it is shown on a terminal. */
export type Cell = string | { text: string; style: Style };

/** A column. */
export interface Column {
  title: string;
  align?: 'right';
}

const gap = '  ';

/** Rows under titles, aligned by display width: wide characters count two. No trailing blanks; what is empty shows as a dash. */
export async function table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): Promise<string> {
  const body = rows.map((row) => row.map((cell) => shown(cell)));
  const widthOf = await measure(body.flatMap((row) => row.map(({ text }) => text)));
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...body.map((row) => widthOf(row[index]?.text ?? ''))),
  );
  const line = (cells: readonly { text: string; style?: Style }[]): string =>
    cells
      .map(({ text, style }, index) => {
        const fill = ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(text)));
        const painted = style === undefined ? text : paint(style, text);
        return columns[index]?.align === 'right' ? fill + painted : painted + fill;
      })
      .join(gap)
      .trimEnd();
  return [line(columns.map(({ title }) => ({ text: title, style: 'quiet' }))), ...body.map(line)]
    .map((text) => `${text}\n`)
    .join('');
}

/** Names and values below each other, values aligned. Pairs without a value are left out. */
export function pairs(entries: readonly (readonly [string, Cell | undefined])[]): string {
  const present = entries.filter(
    (entry): entry is readonly [string, Cell] => entry[1] !== undefined && entry[1] !== '',
  );
  const width = Math.max(0, ...present.map(([name]) => name.length));
  return present
    .map(([name, value]) => {
      const { text, style } = shown(value);
      return `${paint('quiet', name)}${' '.repeat(width - name.length)}${gap}${style === undefined ? text : paint(style, text)}\n`;
    })
    .join('');
}

/** How wide texts are. What knows about wide letters takes longer to load than most commands take, and most texts need it not. */
async function measure(texts: readonly string[]): Promise<(text: string) => number> {
  if (texts.every((text) => /^[ -~]*$/.test(text))) return (text) => text.length;
  return (await import('string-width')).default;
}

function shown(cell: Cell): { text: string; style?: Style } {
  const { text, style } = typeof cell === 'string' ? { text: cell, style: undefined } : cell;
  const clean = printable(text);
  return { text: clean === '' ? '-' : clean, ...(style === undefined ? {} : { style }) };
}
