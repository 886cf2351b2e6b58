import http2 from 'node:http2';
import type net from 'node:net';
import { agentFailed, textOf } from './failure.ts';

/**
 * What one stream may have under way before the host has read it. The agent keeps at most 1 MiB of a process's output unacknowledged, so a larger window
 * would only let a hostile guest fill the host's memory.
 */
const streamWindowBytes = 1024 * 1024 + 256 * 1024;

/** What all streams together may have under way: as much as a fast guest sends while the host is busy elsewhere. */
const sessionWindowBytes = 16 * 1024 * 1024;

/** Fewer, larger DATA frames cost less per byte. */
const maxFrameBytes = 1024 * 1024;

/** Streams open before the guest's settings have arrived; sessions a sprite are capped at fewer. */
const assumedPeerStreams = 4096;

/** MB of headers and queued writes a session may hold before new streams are refused: input queued for every process. */
const maxSessionMemoryMb = 256;

/**
 * HTTP/2 over a socket whose nonce exchange is done; the session owns the socket from now on. Resolves once the session has taken the socket over: before that,
 * destroying it or setting its window throws out of Node's event loop. Rejects with `agent_failed` when the socket is closed already.
 */
export async function openDataSession(socket: net.Socket): Promise<http2.ClientHttp2Session> {
  if (socket.destroyed) throw agentFailed('the data port closed');
  const session = http2.connect('http://guest', {
    createConnection: () => socket,
    maxSessionMemory: maxSessionMemoryMb,
    peerMaxConcurrentStreams: assumedPeerStreams,
    maxHeaderListPairs: 32,
    settings: {
      enablePush: false,
      initialWindowSize: streamWindowBytes,
      maxFrameSize: maxFrameBytes,
      maxHeaderListSize: 16 * 1024,
    },
  });
  // The owner looks at whether the session is closed, and listens from then on.
  session.on('error', () => {});
  await new Promise((resolve) => session.once('connect', resolve));
  if (session.destroyed) throw agentFailed('the data session failed at once');
  session.setLocalWindowSize(sessionWindowBytes);
  return session;
}

/** The head of the answer on a stream. Rejects with `agent_failed` when the stream is closed before; `doing` says what for. */
export function responseOf(
  stream: http2.ClientHttp2Stream,
  doing: string,
): Promise<http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader> {
  return new Promise((resolve, reject) => {
    const broken = (): void => reject(agentFailed(`the data session broke ${doing}`));
    stream.once('close', broken);
    stream.once('response', (headers) => {
      stream.off('close', broken);
      resolve(headers);
    });
  });
}

/** Opens a stream. Throws `agent_failed` where Node throws: the session is ending, or has no stream numbers left. */
export function openStream(
  session: http2.ClientHttp2Session,
  method: string,
  path: string,
  options: { endStream: boolean; headers?: http2.OutgoingHttpHeaders },
): http2.ClientHttp2Stream {
  const { endStream, headers } = options;
  try {
    return session.request({ ':method': method, ':path': path, ...headers }, { endStream });
  } catch (error) {
    throw agentFailed(`no stream can be opened: ${textOf(error)}`, error);
  }
}
