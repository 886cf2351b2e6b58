import type { Readable, Writable } from 'node:stream';
import type { PortConnection } from '../ports/connection.ts';

/** Older servers know no half-close: when our side has ended its input, the answer may still be on its way. After so long without a byte of it the connection is ended. */
const answerQuietMs = 2_000;
/** A program that has gone altogether looks like one that ended its output and still listens: a service that never says anything more is not waited for for ever. */
const halfClosedQuietMs = 3_600_000;

/** Carries bytes between local streams and a connection, until the connection is over; each side no faster than the other takes it. The local end of input is passed on. Rejects with `connection_lost` when it broke; local failures end it. */
export async function carry(local: { from: Readable; to: Writable }, connection: PortConnection): Promise<void> {
  let heardAt = performance.now();
  const gone = new Promise<void>((resolve) => {
    local.to.once('close', resolve);
    local.to.once('error', () => resolve());
  });
  void gone.then(() => connection[Symbol.asyncDispose]());
  void send();
  for await (const bytes of connection.input) {
    heardAt = performance.now();
    if (!local.to.write(bytes)) await Promise.race([new Promise((resolve) => local.to.once('drain', resolve)), gone]);
  }

  async function send(): Promise<void> {
    try {
      // Else the end of what comes in would destroy a socket that still has an answer to take.
      for await (const bytes of local.from.iterator({ destroyOnReturn: false }))
        await connection.write(bytes as Uint8Array);
    } catch {
      // Our side broke off: so does the connection.
      return connection[Symbol.asyncDispose]();
    }
    if (connection.halfClose) await connection.endInput();
    const quietMs = connection.halfClose ? halfClosedQuietMs : answerQuietMs;
    heardAt = performance.now();
    let over = false;
    const closed = connection.closed.then(() => (over = true));
    for (let left = quietMs; left > 0 && !over; left = heardAt + quietMs - performance.now()) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([new Promise((resolve) => (timer = setTimeout(resolve, left))), closed]);
      clearTimeout(timer);
    }
    await connection.end();
  }
}
