import type { CommandResult } from '@sylph/client';

/** Output that fits into one JSON document, bytes. */
export const maxCapturedBytes = 64 * 2 ** 20;

/** A command's end and output as `--json` shows them: text where both streams are UTF-8, else base64. */
export interface Captured {
  exit_code: number;
  encoding: 'utf-8' | 'base64';
  stdout: string;
  stderr: string;
}

/** Describes a finished command for programs. */
export function captured({ exitCode, stdout, stderr }: CommandResult): Captured {
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { exit_code: exitCode, encoding: 'utf-8', stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch {
    // Not UTF-8: base64 loses nothing.
    const encode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    return { exit_code: exitCode, encoding: 'base64', stdout: encode(stdout), stderr: encode(stderr) };
  }
}
