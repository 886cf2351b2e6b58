import { describe } from '../failure.ts';
import { paint, printable } from './style.ts';
import { Progress } from './progress.ts';

/** Where results, notes and errors go. With `json`, stdout carries one JSON document (or one a line while watching) and nothing else is said. */
export class Output {
  readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  /** The result of a command: `value` for programs, `human` for people. */
  async result(value: unknown, human: () => string | Promise<string>): Promise<void> {
    await writeTo(process.stdout, this.json ? `${JSON.stringify(value)}\n` : await human());
  }

  /** A remark for people, on stderr. */
  note(text: string): void {
    if (!this.json) process.stderr.write(`${text}\n`);
  }

  /** Shows that something is waited for, once it takes longer than 2 s. */
  waiting<T>(what: string, work: (say: (text: string) => void) => Promise<T>): Promise<T> {
    return Progress.during(what, !this.json, work);
  }

  /** Says what went wrong; its exit code. */
  async failure(thrown: unknown): Promise<number> {
    const { message, code, hint, retryable, exitCode } = describe(thrown);
    if (this.json)
      await writeTo(
        process.stdout,
        `${JSON.stringify({ error: message, message, code, ...(hint === undefined ? {} : { hint }), retryable })}\n`,
      );
    else {
      process.stderr.write(`${paint('bad', 'sylph:', process.stderr)} ${printable(message)}\n`);
      if (hint !== undefined) process.stderr.write(`${paint('quiet', 'hint:', process.stderr)}  ${printable(hint)}\n`);
    }
    if (process.env['SYLPH_DEBUG'] !== undefined && thrown instanceof Error)
      process.stderr.write(`${thrown.stack ?? ''}\n`);
    return exitCode;
  }
}

/** Writes and waits until it is out, or at least until the stream takes more. */
export function writeTo(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    // An error is told by the stream's own event; nothing waits for it here.
    stream.write(data, () => resolve());
  });
}
