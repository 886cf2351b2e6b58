import http2 from 'node:http2';
import {
  type GuestPortLine,
  guestPortLine,
  hostAndPort,
  maxGuestPorts,
  maxPortLineBytes,
  SylphError,
} from '@sylph/model';
import { openStream } from './data-session.ts';
import { agentFailed, tooOld } from './failure.ts';
import { parseJson } from './json-request.ts';
import { LineSplitter } from './lines.ts';

/** Reads the guest's port watch; as `GuestChannel.watchPorts`. A line that is too long, does not fit, or would make the list longer than allowed ends it. */
export async function* readPortWatch(
  session: http2.ClientHttp2Session,
  signal: AbortSignal,
): AsyncGenerator<GuestPortLine, void, undefined> {
  if (signal.aborted) return;
  const stream = openStream(session, 'GET', '/v1/ports/watch', { endStream: true });
  const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
  signal.addEventListener('abort', cancel, { once: true });
  let status: number | undefined;
  stream.on('response', (headers) => (status = headers[':status']));
  const open = new Set<string>();
  let begun = false;
  try {
    const lines = new LineSplitter(maxPortLineBytes);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (status !== 200) throw refused(status);
      for (const bytes of lines.push(chunk)) {
        const line = parseJson(guestPortLine, bytes, 'a line about ports');
        if (begun === 'ports' in line) throw agentFailed("the guest's agent told of ports out of order");
        begun = true;
        count(open, line);
        yield line;
      }
    }
    if (!signal.aborted) throw status === 200 || status === undefined ? ended() : refused(status);
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof SylphError ? error : agentFailed('the port watch of the guest broke', error);
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

function count(open: Set<string>, line: GuestPortLine): void {
  if ('closed' in line) return void open.delete(keyOf(line.closed));
  for (const port of 'ports' in line ? line.ports : [line.opened]) open.add(keyOf(port));
  if (open.size > maxGuestPorts) throw agentFailed(`the guest's agent tells of more than ${maxGuestPorts} ports`);
}

const keyOf = ({ address, port }: { address: string; port: number }): string => hostAndPort(address, port);

const ended = (): SylphError => agentFailed('the guest ended its port watch');

function refused(status: number | undefined): SylphError {
  return status === 404
    ? tooOld('to watch ports')
    : agentFailed(`the guest's agent answered ${status} to a port watch`);
}
