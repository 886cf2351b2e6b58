import { CliError } from '../failure.ts';

/** What was copied. */
export interface Copied {
  from: string;
  to: string;
  bytes: number;
  entries?: number;
  /** Links that lead out of the tree and were left out. */
  skipped?: string[];
}

/** How a copy is made. */
export interface CopyOptions {
  recursive: boolean;
  asRoot: boolean;
  say: (text: string) => void;
}

/** Whether a directory written like this stands for what is in it: it ends with `/.`, or is `.`. */
export function meansContent(path: string): boolean {
  return /(^|\/)\.\/*$/.test(path);
}

/** The refusal to copy a directory that nobody asked for. */
export function isDirectory(path: string): CliError {
  return new CliError(`${path} is a directory`, { code: 'EISDIR', hint: 'copy it with -r' });
}
