import http2 from 'node:http2';
import { type GuestConnection, GuestDialError } from '@sylph/engine';
import { hostAndPort, tunnelFailure } from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { responseOf } from './data-session.ts';
import { agentFailed, textOf, tooOld } from './failure.ts';

/** Longest answer of the agent about a connection it did not make, bytes. */
const maxRefusalBytes = 16 * 1024;
/** Longest text of an address with its port. */
const maxTargetLength = 64;

/** Opens a tunnel through a data session; rejects as `GuestChannel.dial`. */
export async function connectThrough(
  session: http2.ClientHttp2Session,
  { host, port }: { host: string; port: number },
  signal: AbortSignal,
): Promise<GuestConnection> {
  signal.throwIfAborted();
  const authority = hostAndPort(host, port);
  return connectionOver(connectStream(session, authority), authority, signal);
}

/** The connection that a duplex stream, just opened, carries; rejects as `GuestChannel.dial`. `to`: what it goes to, as far as is known. */
export async function connectionOver(
  stream: http2.ClientHttp2Stream,
  to: string,
  signal: AbortSignal,
): Promise<GuestConnection> {
  const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const headers = await responseOf(stream, `while connecting to ${to}`);
    const status = headers[':status'] ?? 0;
    if (status !== 200) throw await refusalOf(stream, status, to);
    const target = headers['x-target'];
    return {
      target: cleanText(typeof target === 'string' ? target : to, maxTargetLength),
      stream,
      get reset() {
        return stream.rstCode === http2.constants.NGHTTP2_INTERNAL_ERROR;
      },
    };
  } catch (error) {
    cancel();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function connectStream(session: http2.ClientHttp2Session, authority: string): http2.ClientHttp2Stream {
  try {
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false });
    // Whoever waits for it hears of its close; the error adds nothing to that.
    stream.on('error', () => {});
    return stream;
  } catch (error) {
    throw agentFailed(`no stream can be opened: ${textOf(error)}`, error);
  }
}

/** Why the agent made no connection, or does not listen. */
export async function refusalOf(stream: http2.ClientHttp2Stream, status: number, authority: string): Promise<Error> {
  stream.end();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxRefusalBytes)
      return agentFailed(`the guest's agent said too much about a connection to ${authority}`);
    chunks.push(chunk);
  }
  if (status === 404) return tooOld('to connect to ports');
  try {
    const { code, error } = tunnelFailure.parse(JSON.parse(Buffer.concat(chunks, bytes).toString('utf8')));
    return new GuestDialError(cleanText(code, 32), cleanText(error, 512));
  } catch (error) {
    return agentFailed(`the guest's agent answered ${status} to a connection to ${authority}`, error);
  }
}
