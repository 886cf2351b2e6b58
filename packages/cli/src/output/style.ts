import { styleText } from 'node:util';
import type { WriteStream } from 'node:tty';

/** A style by its meaning. */
export type Style = 'good' | 'bad' | 'warn' | 'quiet' | 'strong';

const formats = { good: 'green', bad: 'red', warn: 'yellow', quiet: 'dim', strong: 'bold' } as const;

/** Styles a text for a stream: not when it is no terminal, and not against `NO_COLOR`. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream | WriteStream = process.stdout): string {
  return styleText(formats[style], text, { stream });
}

/** Text of others without what would act on the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}
