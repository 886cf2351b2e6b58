import type { Session } from '@sylph/engine';
// oxlint-disable-next-line import/default -- CommonJS: Node gives what it exports as the default
import serializer from '@xterm/addon-serialize';
import headless from '@xterm/headless';

/** Newest output a picture is made from. An older part of a screen that nothing has drawn over since is missing. */
const maxReplayBytes = 1024 * 1024;
/** Lines above the screen that come with it. */
const scrollbackLines = 1_000;
/** Clears what the client's terminal shows, so that the picture lies where the program believes it. */
const prelude = '\x1b[H\x1b[2J';

/** What a terminal shows after some output. */
export interface Screen {
  /** Draws it on another terminal, with the modes that are set. */
  drawing: Buffer;
  /** Where in the session's output it was taken. */
  offset: number;
}

/**
 * The screen of a session with a terminal as it is now, with some scrollback: what a client that joins late needs, instead of all output since the start, half of which was drawn over or meant for another size. Undefined without a terminal or output.
 */
export async function screenOf(session: Session, signal: AbortSignal): Promise<Screen | undefined> {
  const until = session.endOffset;
  if (session.size === null || until === 0) return undefined;
  const { cols, rows } = session.size;
  const terminal = new headless.Terminal({ cols, rows, scrollback: scrollbackLines, allowProposedApi: true });
  const serialize = new serializer.SerializeAddon();
  terminal.loadAddon(serialize);
  try {
    let offset = Math.max(0, until - maxReplayBytes);
    for await (const event of session.read({ offset, signal })) {
      if (event.type === 'end') break;
      if (event.type === 'output') await write(terminal, event.bytes);
      offset = event.type === 'output' ? event.offset + event.bytes.length : event.to;
      if (offset >= until) break;
    }
    return { drawing: Buffer.from(prelude + serialize.serialize({ scrollback: scrollbackLines })), offset };
  } finally {
    terminal.dispose();
  }
}

/** Resolves when it is drawn; long output is drawn in slices, between which others have their turn. */
function write(terminal: InstanceType<typeof headless.Terminal>, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => terminal.write(bytes, resolve));
}
