import { parentPort } from 'node:worker_threads';
// oxlint-disable-next-line import/default -- CommonJS: Node gives what it exports as the default
import serializer from '@xterm/addon-serialize';
import headless from '@xterm/headless';

/** Output to draw, and on what. */
export interface DrawingTask {
  cols: number;
  rows: number;
  /** Lines above the screen. */
  scrollback: number;
  output: Uint8Array;
}

// Draws one screen and answers with the bytes that draw it elsewhere. What a guest prints can keep this busy for ever: whoever started it ends it.
parentPort?.once('message', ({ cols, rows, scrollback, output }: DrawingTask) => {
  const terminal = new headless.Terminal({ cols, rows, scrollback, allowProposedApi: true });
  const serialize = new serializer.SerializeAddon();
  terminal.loadAddon(serialize);
  terminal.write(output, () => parentPort?.postMessage(serialize.serialize({ scrollback })));
});
