import { Interrupted } from './failure.ts';
import { Output } from './output/output.ts';
import { runProgram } from './program.ts';

/** Exit code of a program whose reader left: 128 + SIGPIPE. Node ignores the signal itself. */
const brokenPipe = 141;
const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** Runs the program as this process: its streams, its signals, its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  // A broken stderr takes only remarks with it.
  process.stdout.on('error', leaveUnwritten);
  process.stderr.on('error', () => undefined);
  // Known before the command line is understood: mistakes in it are told as JSON too.
  const json = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined).includes('--json');
  process.on('uncaughtException', (thrown) => void new Output(json).failure(thrown).then(leave));
  try {
    leave(await runProgram(argv, { env: process.env, cwd: process.cwd() }));
  } catch (thrown) {
    if (thrown instanceof Interrupted) dieOf(thrown.signalName);
    else leave(await new Output(json).failure(thrown));
  }
}

/** Ends once everything written is out, whatever still runs: a command that ended does not wait for our stdin. */
function leave(code: number): void {
  process.stdout.write('', (error) => {
    // Output was lost: the stream's own event, which may be yet to come, ends us.
    if (error) process.exitCode = 1;
    else exitAfterRemarks(code);
  });
}

/** Ends because stdout takes no more: the output is incomplete, and its reader could not tell. */
function leaveUnwritten(error: NodeJS.ErrnoException): void {
  // Nobody reads on: end as other programs do, without a word.
  if (error.code === 'EPIPE') return exitAfterRemarks(brokenPipe);
  process.stderr.write(`sylph: the output could not be written: ${error.message}\n`);
  exitAfterRemarks(1);
}

function exitAfterRemarks(code: number): void {
  process.exitCode = code;
  process.stderr.write('', () => process.exit(code));
}

/** Ends as the signal would have ended us, so that a calling shell stops too. */
function dieOf(name: keyof typeof signalNumbers): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
  // The signal is delivered before this; if something holds it back, the code says the same.
  process.exit(128 + signalNumbers[name]);
}
