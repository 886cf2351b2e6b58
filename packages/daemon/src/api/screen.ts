import { startThread, type Session } from '@sylph/engine';
import type { DrawingTask } from './screen-worker.ts';

/** Newest output a picture is made from. An older part of a screen that nothing has drawn over since is missing. */
const maxReplayBytes = 1024 * 1024;
/** Lines above the screen that come with it. */
const scrollbackLines = 1_000;
/** Largest screen that is drawn: each cell costs memory. */
const maxCells = 500_000;
/** A few bytes of a guest can ask a terminal for work without end: whoever attaches then gets the bytes themselves. */
const drawingTimeoutMs = 2_000;
/** Screens drawn at the same time; others get the bytes. */
const maxDrawings = 2;
/** Clears what the client's terminal shows, so that the picture lies where the program believes it. */
const prelude = '\x1b[H\x1b[2J';

let drawings = 0;

/** What a terminal shows after some output. */
export interface Screen {
  /** Draws it on another terminal, with the modes that are set. */
  drawing: Buffer;
  /** Where in the session's output it was taken. */
  offset: number;
}

/**
 * The screen of a session with a terminal as it is now, with some scrollback: what a client that joins late needs, instead of all output since the start, half of which was drawn over or meant for another size.
 * Drawn beside the daemon, within limits of time and size. Undefined without a terminal or output, and where that did not work: then the output itself has to do.
 */
export async function screenOf(session: Session, signal: AbortSignal): Promise<Screen | undefined> {
  const until = session.endOffset;
  const { size } = session;
  if (size === null || until === 0 || size.cols * size.rows > maxCells || drawings >= maxDrawings) return undefined;
  drawings += 1;
  try {
    const { output, offset } = await newestOutput(session, until, signal);
    const drawn = await draw({ ...size, scrollback: scrollbackLines, output });
    return drawn === undefined ? undefined : { drawing: Buffer.from(prelude + drawn), offset };
  } finally {
    drawings -= 1;
  }
}

async function newestOutput(
  session: Session,
  until: number,
  signal: AbortSignal,
): Promise<{ output: Buffer; offset: number }> {
  const pieces: Buffer[] = [];
  let offset = Math.max(0, until - maxReplayBytes);
  for await (const event of session.read({ offset, signal })) {
    if (event.type === 'end') break;
    if (event.type === 'output') pieces.push(event.bytes);
    offset = event.type === 'output' ? event.offset + event.bytes.length : event.to;
    if (offset >= until) break;
  }
  return { output: Buffer.concat(pieces), offset };
}

/** Undefined when it takes too long, or fails. */
async function draw(task: DrawingTask): Promise<string | undefined> {
  const worker = startThread(new URL('./screen-worker.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 128 },
  });
  const drawn = Promise.withResolvers<string | undefined>();
  const timer = setTimeout(() => drawn.resolve(undefined), drawingTimeoutMs);
  worker.once('message', drawn.resolve);
  // Without memory, say: the bytes themselves are left.
  worker.once('error', () => drawn.resolve(undefined));
  worker.once('exit', () => drawn.resolve(undefined));
  worker.postMessage(task);
  try {
    return await drawn.promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
