import type { Cell } from './table.ts';

/** `3 h ago`. */
export function ago(iso: string | null | undefined, now = Date.now()): string {
  const time = iso === null || iso === undefined ? NaN : Date.parse(iso);
  if (Number.isNaN(time)) return '';
  const seconds = Math.max(0, Math.round((now - time) / 1000));
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
  ] as const) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}

/** `1.4 GiB`. */
export function bytes(count: number | undefined): string {
  if (count === undefined || !Number.isFinite(count)) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `45 s`, `2 min`. */
export function seconds(count: number): string {
  return count < 120 ? `${count} s` : `${Math.round(count / 60)} min`;
}

/** A sprite's status; our finer state where it says more. */
export function status(sprite: { status: string; state?: string }): Cell {
  const text =
    sprite.state === undefined || sprite.state === sprite.status || sprite.state === 'asleep'
      ? sprite.status
      : sprite.state;
  switch (text) {
    case 'running':
      return { text, style: 'good' };
    case 'failed':
      return { text, style: 'bad' };
    case 'warm':
      return text;
    default:
      return { text, style: sprite.status === text ? 'quiet' : 'warn' };
  }
}
