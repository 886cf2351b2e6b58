import { once } from 'node:events';
import type { SpriteCommand } from '@fly/sprites';
import { until } from './shell.ts';

/** A command of the SDK with its output gathered. The SDK starts commands by itself. */
export interface Watched {
  command: SpriteCommand;
  /** What came so far. */
  stdout: () => string;
  /** Waits for a text in the output. */
  sees: (text: string | RegExp, timeoutMs?: number) => Promise<void>;
}

/** Watches a command from its first byte and waits until it runs. Its errors are left to `wait`. */
export async function watch(command: SpriteCommand): Promise<Watched> {
  let text = '';
  command.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const spawned = once(command, 'spawn');
  await spawned;
  command.on('error', () => undefined);
  const found = (wanted: string | RegExp): boolean =>
    typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
  return {
    command,
    stdout: () => text,
    sees: async (wanted, timeoutMs = 60_000) =>
      void (await until(`${wanted} in the output`, () => found(wanted), { timeoutMs })),
  };
}
