import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { CliError, Interrupted } from '../failure.ts';

/** Whether a person can be asked. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Asks a question on the terminal; the answer without the line's end. `hidden` shows nothing of what is typed. Throws Interrupted on Ctrl+C. */
export function ask(question: string, options: { hidden?: boolean } = {}): Promise<string> {
  if (!canAsk()) throw new CliError('there is no terminal to ask on', { code: 'usage', exitCode: 2 });
  // The terminal echoes nothing while readline edits the line; readline writes the echo to its output.
  const output =
    options.hidden === true ? new Writable({ write: (_chunk, _encoding, done) => done() }) : process.stderr;
  const lines = createInterface({ input: process.stdin, output, terminal: true, historySize: 0 });
  if (options.hidden === true) process.stderr.write(question);
  return new Promise((resolve, reject) => {
    lines.once('SIGINT', () => reject(new Interrupted('SIGINT')));
    lines.once('close', () => reject(new CliError('the question was not answered', { code: 'usage', exitCode: 2 })));
    lines.question(options.hidden === true ? '' : question, resolve);
  }).finally(() => {
    lines.close();
    if (options.hidden === true) process.stderr.write('\n');
  }) as Promise<string>;
}

/** Asks yes or no; everything but yes is no. */
export async function confirm(question: string): Promise<boolean> {
  return /^y(es)?$/i.test((await ask(`${question} [y/N] `)).trim());
}
