import { setInterval } from 'node:timers';
import { SylphError } from '../packages/model/src/index.ts';

/** A step that has said nothing for this long repeats its last line with the time, so that nobody takes it for dead. */
const silenceMs = 10_000;

/** What a step works with. */
export interface StepContext {
  /** Prints one line on stderr with the seconds since the start. */
  progress: (line: string) => void;
  /** Aborts on SIGINT and SIGTERM. */
  signal: AbortSignal;
}

/** Runs a build step of a script: progress on stderr, clean-up on SIGINT and SIGTERM, and on failure the error with its hint and exit 1. */
export async function runStep(step: (context: StepContext) => Promise<void>): Promise<void> {
  const started = performance.now();
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => abort.abort(new SylphError('shutting_down', `stopped by ${name}`)));
  let last = '';
  const print = (line: string): void =>
    console.error(`  [${((performance.now() - started) / 1000).toFixed(0).padStart(3)} s] ${line}`);
  const reminder = setInterval(() => last && print(`still at: ${last}`), silenceMs);
  const progress = (line: string): void => {
    last = line;
    reminder.refresh();
    print(line);
  };
  try {
    await step({ progress, signal: abort.signal });
  } catch (error) {
    const failure = SylphError.from(error);
    console.error(`error: ${failure.message}${failure.hint === undefined ? '' : `\n  ${failure.hint}`}`);
    process.exitCode = failure.exitCode;
  } finally {
    clearInterval(reminder);
  }
}
