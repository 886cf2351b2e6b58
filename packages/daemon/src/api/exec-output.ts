import type { Session, SessionEnd } from '@sylph/engine';
import { streamByte } from '@sylph/model';
import type { ExecClient } from './exec-client.ts';

/** Longest binary message, stream byte included. */
const maxMessageBytes = 64 * 1024;

/** Close codes: RFC 6455, section 7.4.1, and the private range. A failed command on a terminal closes with 4000 + its exit code: one client knows success from the close code alone. */
const closeCode = { normal: 1000, lost: 1011, exitBase: 4000 };

/**
 * Sends a session's output from `offset` on, then how it ended, and closes the socket. Nothing is told of the end before the last byte. Returns early when the client goes.
 */
export async function sendOutput(client: ExecClient, session: Session, offset: number): Promise<void> {
  const tty = session.request.tty !== null;
  for await (const event of session.read({ offset, signal: client.gone })) {
    switch (event.type) {
      case 'output':
        await sendBytes(client, tty ? undefined : streamByte[event.stream], event.bytes);
        break;
      case 'dropped':
        client.tell({ type: 'dropped', session_id: session.id, from: event.from, to: event.to });
        break;
      case 'end':
        return sendEnd(client, session.id, event.end, tty);
      default:
        event satisfies never;
    }
  }
}

/** One or more messages of at most 64 KiB; with a stream byte in front of each unless it is a terminal's. */
export async function sendBytes(client: ExecClient, stream: number | undefined, bytes: Buffer): Promise<void> {
  const room = stream === undefined ? maxMessageBytes : maxMessageBytes - 1;
  for (let at = 0; at < bytes.length; at += room) {
    await client.send(bytes.subarray(at, at + room), stream);
  }
}

async function sendEnd(client: ExecClient, sessionId: string, end: SessionEnd, tty: boolean): Promise<void> {
  switch (end.how) {
    case 'exited':
      return sendExit(client, sessionId, end.code, end.signal === null ? undefined : `killed by SIG${end.signal}`, tty);
    case 'not-started':
      // The reason is the last of its output.
      return sendExit(client, sessionId, end.code, end.reason, tty);
    case 'lost': {
      const message = `the session was lost: ${end.reason}`;
      client.tell({ type: 'lost', session_id: sessionId, reason: end.reason });
      client.tell({ type: 'error', message, error: message, code: 'session_lost' });
      return client.close(closeCode.lost, message);
    }
    default:
      return end satisfies never;
  }
}

async function sendExit(
  client: ExecClient,
  sessionId: string,
  code: number,
  reason: string | undefined,
  tty: boolean,
): Promise<void> {
  // The binary exit comes first: a client that stops at either has had every byte of output.
  if (!tty) await client.send(Buffer.from([code]), streamByte.exit);
  client.tell({
    type: 'exit',
    exit_code: code,
    code,
    session_id: sessionId,
    ...(reason === undefined ? {} : { reason }),
  });
  return client.close(tty && code !== 0 ? closeCode.exitBase + code : closeCode.normal, '');
}
