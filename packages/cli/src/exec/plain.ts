import type { ExecSession, OutputChunk, ServerMessage } from '@sylph/client';
import { writeTo } from '../output/output.ts';

const ctrlD = 0x04;

/** What is said about a connection while a command runs; for people only. */
export interface SessionNotes {
  note: (text: string) => void;
}

/** How a session is watched: tells on stderr what happens to its connection and its output. */
export function watch({ note }: SessionNotes): {
  onConnection: (event: { type: 'lost'; reason: string; attempt: number } | { type: 'resumed' }) => void;
  onDropped: (range: { from: number; to: number }) => void;
  onMessage: (message: ServerMessage) => void;
} {
  let told = false;
  return {
    onConnection(event) {
      // A short interruption that heals by itself is not worth a word.
      if (event.type === 'lost' && event.attempt === 3) {
        told = true;
        note(`sylph: ${event.reason}; trying to take it up again…`);
      }
      if (event.type === 'resumed' && told) {
        told = false;
        note('sylph: connected again');
      }
    },
    onDropped: ({ from, to }) =>
      note(`sylph: ${to - from} bytes of output are gone: the server keeps a bounded amount`),
    onMessage: (message) => {
      if (message.type === 'error' && typeof message['message'] === 'string') note(`sylph: ${message['message']}`);
    },
  };
}

/** Lets a command without a terminal speak to our stdin, stdout and stderr. Resolves to its exit code once its output is out. */
export async function runPlain(
  session: ExecSession,
  options: { stdin: boolean; output: AsyncIterable<OutputChunk> },
): Promise<number> {
  const input = options.stdin ? pipeStdin(session) : Promise.resolve();
  try {
    // An input that cannot be read ends the run; one that was read to its end does not.
    await Promise.race([pipeOutput(options.output), input.then(() => new Promise<never>(() => undefined))]);
    return (await session.exit).code;
  } finally {
    if (options.stdin) process.stdin.destroy();
  }
}

async function pipeStdin(session: ExecSession): Promise<void> {
  try {
    for await (const bytes of process.stdin) await session.stdin.write(bytes as Uint8Array);
  } catch (thrown) {
    // Destroyed by us: the command has ended.
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE' || process.stdin.destroyed) return;
    throw thrown;
  }
  // A terminal has no end of input of its own: its line discipline makes one of Ctrl+D.
  if (session.tty) await session.stdin.write(Uint8Array.of(ctrlD));
  await session.stdin.end();
}

/** Writes output to where it belongs, as fast as its readers take it. */
export async function pipeOutput(output: AsyncIterable<OutputChunk>): Promise<void> {
  for await (const { stream, bytes } of output)
    await writeTo(stream === 'stdout' ? process.stdout : process.stderr, bytes);
}
