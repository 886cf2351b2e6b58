import { SylphError } from '@sylph/model';

/** Runs a command: a failure becomes one sentence, one hint and an exit code. */
export async function run(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const error = SylphError.from(thrown);
    console.error(`sylphd: ${error.message}`);
    if (error.hint !== undefined) console.error(`        ${error.hint}`);
    if (error.code === 'internal' && error.cause instanceof Error) console.error(error.cause.stack);
    process.exitCode = error.exitCode;
  }
}
