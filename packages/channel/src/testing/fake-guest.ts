import http2 from 'node:http2';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** A request line of the control port as the fake guest got it. */
export interface ControlLine {
  id: string;
  op: string;
  [field: string]: unknown;
}

/** How a fake guest behaves; every part has a well-behaved default. */
export interface FakeGuestBehaviour {
  /** Handles a control line. Default: answers hello, resume, open, quiesce and poweroff. */
  control?: (line: ControlLine, socket: net.Socket, guest: FakeGuest) => void;
  /** Called when the control port is connected, before any line. */
  controlConnected?: (socket: net.Socket) => void;
  /** Written to the data port in front of the nonce. */
  staleBytes?: Uint8Array;
  /** Replaces all handling of the data port after the nonces were exchanged. */
  rawData?: (socket: net.Socket) => void;
  /** Handles a stream of the data session. Default: `GET /v1/ping`. */
  stream?: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;
}

/** A scripted guest on the two Unix sockets, for tests of what a real agent never does. */
export class FakeGuest implements AsyncDisposable {
  readonly sockets: { data: string; control: string };
  /** Nonce of the latest `open` or `resume`. */
  nonce: Buffer | undefined;
  readonly lines: ControlLine[] = [];
  readonly #dir: string;
  readonly #behaviour: FakeGuestBehaviour;
  readonly #servers: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();

  private constructor(dir: string, behaviour: FakeGuestBehaviour) {
    this.#dir = dir;
    this.#behaviour = behaviour;
    this.sockets = { data: path.join(dir, 'data'), control: path.join(dir, 'control') };
  }

  static async start(behaviour: FakeGuestBehaviour = {}): Promise<FakeGuest> {
    const guest = new FakeGuest(await mkdtemp(path.join(os.tmpdir(), 'sylph-guest-')), behaviour);
    await guest.#listen(guest.sockets.control, (socket) => guest.#serveControl(socket));
    await guest.#listen(guest.sockets.data, (socket) => guest.#serveData(socket));
    return guest;
  }

  /** Answers a control line. */
  reply(socket: net.Socket, line: ControlLine, fields: Record<string, unknown> = {}): void {
    socket.write(
      `${JSON.stringify({ id: line.id, ok: true, version: 1, agent: 'fake 1', kernel: '6.0', bootId: 'boot', ready: true, ...fields })}\n`,
    );
  }

  /** What a good guest does with a control line. */
  obey(socket: net.Socket, line: ControlLine): void {
    if (typeof line['nonce'] === 'string') this.nonce = Buffer.from(line['nonce'], 'hex');
    this.reply(socket, line);
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await rm(this.#dir, { recursive: true, force: true });
  }

  #listen(at: string, serve: (socket: net.Socket) => void): Promise<void> {
    const server = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {}); // tests cut connections on purpose
      serve(socket);
    });
    this.#servers.push(server);
    return new Promise((resolve) => server.listen(at, resolve));
  }

  #serveControl(socket: net.Socket): void {
    this.#behaviour.controlConnected?.(socket);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        if (line === '') continue;
        const parsed = JSON.parse(line) as ControlLine;
        this.lines.push(parsed);
        if (this.#behaviour.control === undefined) this.obey(socket, parsed);
        else this.#behaviour.control(parsed, socket, this);
      }
    });
  }

  #serveData(socket: net.Socket): void {
    let seen: Buffer = Buffer.alloc(0);
    const take = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const nonce = this.nonce;
      const at = nonce === undefined ? -1 : seen.indexOf(nonce);
      if (nonce === undefined || at < 0) return;
      socket.off('data', take).pause();
      const rest = seen.subarray(at + nonce.length);
      if (rest.length > 0) socket.unshift(rest);
      if (this.#behaviour.staleBytes !== undefined) socket.write(this.#behaviour.staleBytes);
      // An HTTP/2 session must not take over a socket with a write under way.
      socket.write(nonce, () => (this.#behaviour.rawData ?? ((ready) => this.#serveHttp(ready)))(socket));
    };
    socket.on('data', take);
  }

  #serveHttp(socket: net.Socket): void {
    const session = http2.performServerHandshake(socket, { settings: { maxConcurrentStreams: 4096 } });
    session.on('error', () => {}); // tests cut connections on purpose
    session.on('stream', (stream, headers) => {
      stream.on('error', () => {}); // as above
      if (this.#behaviour.stream !== undefined) this.#behaviour.stream(stream, headers);
      else if (headers[':path'] === '/v1/ping') {
        stream.respond({ ':status': 200 });
        stream.end('pong');
      } else {
        stream.respond({ ':status': 404 });
        stream.end('{"error":"unknown","code":"ENOENT"}');
      }
    });
  }
}
