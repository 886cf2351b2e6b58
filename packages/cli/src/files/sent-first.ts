import type { Context } from '../context.ts';
import { usageError } from '../failure.ts';
import { push } from './push.ts';

/** A file or directory of this machine, and where it goes in a sprite. */
export interface SentFile {
  source: string;
  dest: string;
}

/** Reads `SRC:DEST`; the first colon parts them. Throws wrong use. */
export function parseSentFile(text: string): SentFile {
  const [, source, dest] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  if (source === undefined || dest === undefined) throw usageError(`--file ${text}: not of the form SRC:DEST`);
  return { source, dest };
}

/** Copies files into a sprite before its command starts. */
export async function sendFirst(context: Context, sprite: string, sent: readonly SentFile[]): Promise<void> {
  if (sent.length === 0) return;
  const files = (await context.client()).files(sprite);
  for (const { source, dest } of sent)
    await context.out.waiting(`copying ${source}`, (say) =>
      push(files, source, dest, { recursive: true, asRoot: false, say }),
    );
}
