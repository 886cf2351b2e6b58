import { randomInt } from 'node:crypto';
import dgram from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { readUpstreamReply, writeUpstreamQuery, type UpstreamReply } from './message.ts';

/** A name server. */
export interface Server {
  address: string;
  port: number;
}

interface Asked {
  id: number;
  name: string;
  type: string;
}

/** Asks one name server, over UDP and, where its answer does not fit, over TCP. Rejects when it cannot be reached, its answer is broken, or the signal fires. */
export async function ask(server: Server, name: string, type: string, signal: AbortSignal): Promise<UpstreamReply> {
  const asked = { id: randomInt(0x1_00_00), name, type };
  const reply = await askUdp(server, asked, signal);
  return reply.truncated ? askTcp(server, asked, signal) : reply;
}

/** A socket for each question, connected: the kernel picks its port at random and lets nobody but the server answer. Answers to other questions are passed over. */
async function askUdp(server: Server, asked: Asked, signal: AbortSignal): Promise<UpstreamReply> {
  signal.throwIfAborted();
  const socket = dgram.createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  const { promise, resolve, reject } = Promise.withResolvers<UpstreamReply>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  socket.once('error', reject);
  socket.on('message', (bytes) => {
    try {
      const reply = readUpstreamReply(bytes, asked);
      if (reply) resolve(reply);
    } catch (error) {
      reject(brokenReply(server, error));
    }
  });
  socket.connect(server.port, server.address, () => {
    socket.send(writeUpstreamQuery(asked.id, asked.name, asked.type), (error) => {
      if (error) reject(error);
    });
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    // Errors that come while it closes change nothing for anyone.
    socket.on('error', () => undefined);
    socket.close();
  }
}

async function askTcp(server: Server, asked: Asked, signal: AbortSignal): Promise<UpstreamReply> {
  signal.throwIfAborted();
  const query = writeUpstreamQuery(asked.id, asked.name, asked.type);
  const { promise, resolve, reject } = Promise.withResolvers<UpstreamReply>();
  const socket = connect({ host: server.address, port: server.port, noDelay: true });
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes < 2) return;
    const [first = chunk] = chunks.length > 1 && (chunks[0] as Buffer).length < 2 ? [Buffer.concat(chunks)] : chunks;
    // At most 65,535 bytes by its nature: what is beyond is not waited for.
    const wholeBytes = 2 + first.readUInt16BE(0);
    if (sizeBytes < wholeBytes) return;
    try {
      const reply = readUpstreamReply(Buffer.concat(chunks).subarray(2, wholeBytes), asked);
      if (reply) resolve(reply);
      else reject(new Error(`name server ${server.address} answered another question`));
    } catch (error) {
      reject(brokenReply(server, error));
    }
  });
  socket.once('error', reject);
  socket.once('close', () => reject(new Error(`name server ${server.address} ended the connection without an answer`)));
  socket.write(Buffer.concat([lengthOf(query), query]));
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

/** Two bytes before each message over TCP, RFC 1035 section 4.2.2. */
export function lengthOf(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return length;
}

function brokenReply(server: Server, cause: unknown): Error {
  return new Error(`the answer of name server ${server.address} is broken`, { cause });
}
