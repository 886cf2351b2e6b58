import { GuestDialError, type GuestConnection } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { ServerChannel } from 'ssh2';
import { ChannelWriter } from './channel-writer.ts';
import type { ConnectionParts } from './connection-parts.ts';

/** Input of a channel that the connection inside has not taken, at which the channel is no longer read. */
const maxUnwrittenBytes = 256 * 1024;

/** Passes bytes between a channel and a connection inside until one of them ends, and ends the other in the same way. Never rejects. */
export async function carry(
  channel: ServerChannel,
  connection: GuestConnection,
  parts: ConnectionParts,
): Promise<void> {
  const { link } = parts;
  const { stream } = connection;
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  channel.once('close', leave);
  channel.on('error', leave);
  // A channel that the client closes is ended by the library before its `close`, which waits for its input to be read.
  channel.once('finish', leave);
  link.over.addEventListener('abort', leave, { once: true });
  gone.signal.addEventListener(
    'abort',
    () => {
      link.over.removeEventListener('abort', leave);
      stream.destroy();
    },
    { once: true },
  );
  const forget = parts.inflow.add(channel);
  passInput(channel, connection, parts);
  const writer = new ChannelWriter(channel, parts.writer, gone.signal);
  try {
    // The end of its output is not that of its input.
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      link.used();
      await writer.write(chunk);
    }
  } catch {
    // The connection broke, or the channel went first: either way nothing more comes.
  }
  // The client may go on sending: the library's own `end` would close the channel.
  channel.eof();
  channel.resume();
  await new Promise<void>((resolve) => {
    if (stream.destroyed || gone.signal.aborted) return resolve();
    stream.once('close', () => resolve());
    gone.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  channel.end();
  forget();
}

function passInput(channel: ServerChannel, { stream }: GuestConnection, { link }: ConnectionParts): void {
  let unwrittenBytes = 0;
  channel.on('data', (chunk: Buffer) => {
    if (stream.destroyed || !stream.writable) return;
    link.used();
    unwrittenBytes += chunk.length;
    if (unwrittenBytes > maxUnwrittenBytes) channel.pause();
    stream.write(chunk, () => {
      unwrittenBytes -= chunk.length;
      if (unwrittenBytes <= maxUnwrittenBytes / 2) channel.resume();
    });
  });
  channel.once('end', () => stream.end());
}

/** What the log is told of a connection that was not made; undefined: what happens every day, which the client hears of. */
export function notable(error: unknown): unknown {
  return error instanceof GuestDialError || SylphError.from(error).code !== 'internal' ? undefined : error;
}
