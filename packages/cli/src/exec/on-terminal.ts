import type { ExecSession, OutputChunk, TerminalSize } from '@sylph/client';
import { DetachKey } from '../terminal/detach-key.ts';
import { LocalTerminal } from '../terminal/local-terminal.ts';

/** How a session on our terminal ended for us. */
export type TerminalEnd = { how: 'exited'; code: number } | { how: 'detached' };

const ctrlC = 0x03;

/** The state of the connection, as the keyboard needs it. */
export interface ConnectionState {
  /** Shows a line of our own. Replaced while a program has the terminal. */
  remark: LocalTerminal['remark'];
  /** False while it is being taken up again. */
  connected: boolean;
}

/**
 * Puts the person through to a session with a terminal, until it ends or Ctrl+\ is pressed. The terminal is put back before this returns or throws. While the
 * connection is broken Ctrl+C leaves, since it could not reach anybody.
 */
export async function runOnTerminal(
  session: ExecSession,
  { connection, output }: { connection: ConnectionState; output: AsyncIterable<OutputChunk> },
): Promise<TerminalEnd> {
  const terminal = new LocalTerminal();
  const left = Promise.withResolvers<TerminalEnd>();
  const detachKey = new DetachKey();
  let told: TerminalSize | undefined;
  const resize = (): void => {
    const { size } = terminal;
    if (size.cols === told?.cols && size.rows === told.rows) return;
    told = size;
    session.resize(size);
  };
  const typed = (bytes: Uint8Array): void => {
    const { pass, pressed } = detachKey.read(bytes);
    if (pressed || (!connection.connected && bytes.includes(ctrlC))) left.resolve({ how: 'detached' });
    if (pass.length === 0) return;
    process.stdin.pause();
    // While the connection is broken keys are still read: one of them may be the one that leaves.
    const wait = connection.connected
      ? session.stdin.write(pass)
      : Promise.resolve(void session.stdin.write(pass).catch(() => undefined));
    wait.then(
      () => process.stdin.resume(),
      () => undefined, // The session failed; its output says so.
    );
  };
  const gone = (): void => left.resolve({ how: 'detached' });

  terminal.enter(() => {
    // Told even if it is the same: a program redraws when it hears of a size.
    told = undefined;
    resize();
    process.stdin.resume();
  });
  const { remark } = connection;
  connection.remark = (text, options) => terminal.remark(text, options);
  process.stdin.on('data', typed).once('end', gone).once('error', gone);
  process.stdout.on('resize', resize);
  resize();
  try {
    const ended = (async (): Promise<TerminalEnd> => {
      for await (const { bytes } of output) await terminal.write(bytes);
      return { how: 'exited', code: (await session.exit).code };
    })();
    ended.catch(() => undefined); // After detaching nobody waits for it.
    return await Promise.race([ended, left.promise]);
  } finally {
    connection.remark = remark;
    process.stdout.off('resize', resize);
    process.stdin.off('data', typed).off('end', gone).off('error', gone);
    await terminal.restore();
    session.detach();
  }
}

/** Size of our terminal. */
export function terminalSize(): TerminalSize {
  return new LocalTerminal().size;
}

/** Whether a person sits at both ends of this process. */
export function isInteractive(): boolean {
  return new LocalTerminal().isInteractive;
}
