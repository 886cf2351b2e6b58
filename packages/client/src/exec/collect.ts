import { ClientError } from '../errors.ts';
import { joinBytes } from '../join-bytes.ts';
import type { OutputChunk } from './frames.ts';
import type { ExecExit } from './session.ts';

/** Everything a command said. */
export interface CommandResult {
  exitCode: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** stdout as UTF-8. */
  text: string;
  /** stderr as UTF-8. */
  errorText: string;
}

/** Reads a command to its end. Throws `body_too_large` when its stdout or its stderr is longer than `maxBytes`. */
export async function collect(
  command: { output: AsyncIterable<OutputChunk>; exit: Promise<ExecExit> },
  maxBytes: number,
): Promise<CommandResult> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const bytes = { stdout: 0, stderr: 0 };
  for await (const chunk of command.output) {
    bytes[chunk.stream] += chunk.bytes.length;
    if (bytes[chunk.stream] > maxBytes)
      throw new ClientError(
        'body_too_large',
        `${chunk.stream} maxBuffer exceeded: it is longer than ${maxBytes} bytes`,
        {
          hint: 'read its output as a stream',
        },
      );
    parts[chunk.stream].push(chunk.bytes);
  }
  const { code } = await command.exit;
  const stdout = joinBytes(parts.stdout);
  const stderr = joinBytes(parts.stderr);
  const decoder = new TextDecoder();
  return { exitCode: code, stdout, stderr, text: decoder.decode(stdout), errorText: decoder.decode(stderr) };
}
