import { readFileSync } from 'node:fs';

/** Where the list lies, for people. */
export const defaultsFile = new URL('defaults.txt', import.meta.url);

/** The names `{"include":"defaults"}` stands for, each as a rule's domain, in the file's order. Read once at start. */
export function readDefaults(): readonly string[] {
  return parseDefaults(readFileSync(defaultsFile, 'utf8'));
}

/** One domain a line; `#` begins a comment. */
export function parseDefaults(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}
