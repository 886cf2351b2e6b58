import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { connectUnix } from './qmp.ts';

/** An answer of the floor's agent. Times are on `performance.now()`. */
export interface Answer {
  text: string;
  sizeBytes: number;
  /** When the first byte of the body arrived; the end when there was none. */
  firstByteAtMs: number;
  exitCode: number;
}

/** Body bytes of an answer kept as text; the rest is counted. */
const keptBytes = 64 * 1024;
const answerDeadlineMs = 60_000;

/** Begins every session in both directions; the agent has the same. */
const greeting = Buffer.from('sylph bench v1\r\n');

/** Says the greeting and discards what comes before the agent's: bytes of an earlier session. */
async function greet(socket: Socket, deadlineMs: number): Promise<void> {
  socket.write(greeting);
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(
    () => socket.destroy(new Error(`the floor's agent did not answer within ${deadlineMs} ms`)),
    deadlineMs,
  );
  try {
    await new Promise<void>((resolve, reject) => {
      const onReadable = (): void => {
        for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read())
          seen = Buffer.concat([seen, chunk]);
        const at = seen.indexOf(greeting);
        if (at < 0) return;
        socket.off('readable', onReadable);
        socket.off('error', reject);
        socket.unshift(seen.subarray(at + greeting.length));
        resolve();
      };
      socket.on('readable', onReadable);
      socket.once('error', reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

/** HTTP/2 over the VM's port: one session. */
export class AgentClient {
  readonly #session: http2.ClientHttp2Session;

  private constructor(session: http2.ClientHttp2Session) {
    this.#session = session;
  }

  static async connect(path: string, deadlineMs: number): Promise<AgentClient> {
    const socket = await connectUnix(path, deadlineMs);
    await greet(socket, deadlineMs);
    const session = http2.connect('http://guest', {
      createConnection: () => socket,
      settings: { initialWindowSize: 4 << 20, maxFrameSize: 1 << 20, enablePush: false },
    });
    // What a broken session had under way fails with its streams.
    session.on('error', () => undefined);
    await new Promise<void>((resolve) => session.once('connect', () => resolve()));
    session.setLocalWindowSize(16 << 20);
    return new AgentClient(session);
  }

  /** A request; throws on a status other than 200, on a broken session, and when no answer is complete within a minute. */
  async request(method: string, path: string, query: [string, string][] = [], body?: Buffer): Promise<Answer> {
    const search = new URLSearchParams(query).toString();
    const stream = this.#session.request({ ':method': method, ':path': search === '' ? path : `${path}?${search}` });
    stream.setTimeout(answerDeadlineMs, () => stream.destroy(new Error(`${path}: no answer of the floor's agent`)));
    stream.end(body);
    const kept: Buffer[] = [];
    let [sizeBytes, keptSize, firstByteAtMs, status, exitCode] = [0, 0, 0, 0, 0];
    stream.on('response', (headers) => (status = Number(headers[':status'])));
    stream.on('trailers', (headers) => (exitCode = Number(headers['exit'] ?? 0)));
    stream.on('data', (chunk: Buffer) => {
      firstByteAtMs ||= performance.now();
      sizeBytes += chunk.length;
      if (keptSize >= keptBytes) return;
      kept.push(chunk);
      keptSize += chunk.length;
    });
    await new Promise<void>((resolve, reject) => {
      stream.on('end', resolve);
      stream.on('error', reject);
      stream.on('close', () => reject(new Error(`${path}: the session to the floor's agent broke`)));
    });
    const text = Buffer.concat(kept).toString();
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
    return { text, sizeBytes, firstByteAtMs: firstByteAtMs || performance.now(), exitCode };
  }

  run(argv: readonly string[]): Promise<Answer> {
    return this.request(
      'POST',
      '/run',
      argv.map((word) => ['argv', word]),
    );
  }

  close(): void {
    this.#session.destroy();
  }
}
