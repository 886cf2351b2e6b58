import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { SylphClient } from '../client.ts';
import type { PortTarget } from '../ports/connection.ts';
import { carry } from './carry.ts';

/** Never anything else: what runs in a sprite is for this machine's users, not for its network. */
const loopback = '127.0.0.1';

/** What a forward needs to know. */
export interface ForwardOptions {
  client: SylphClient;
  sprite: string;
  target: PortTarget;
  /** Told when one connection fails; the forward goes on. */
  failed: (reason: unknown) => void;
}

/** A local port, on loopback only, that leads into a sprite. Dispose it: connections end with it. */
export class Forward implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens; rejects with the system's error when the port cannot be had. 0: any. */
  static async listen(port: number, options: ForwardOptions): Promise<Forward> {
    // Our half-close must not end what the other direction still carries.
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    const forward = new Forward(server);
    server.on('connection', (socket: Socket) => void forward.#carry(socket, options));
    server.listen(port, loopback);
    await once(server, 'listening');
    // One connection that could not be accepted: the next may be.
    server.on('error', options.failed);
    return forward;
  }

  get port(): number {
    const address = this.#server.address();
    return address === null || typeof address === 'string' ? 0 : address.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Never rejects. */
  async #carry(socket: Socket, { client, sprite, target, failed }: ForwardOptions): Promise<void> {
    this.#sockets.add(socket);
    const gone = new AbortController();
    socket.on('error', () => undefined); // Followed by its close.
    socket.once('close', () => {
      this.#sockets.delete(socket);
      gone.abort(new Error('the local connection ended'));
    });
    try {
      const connection = await client.dial(sprite, target, { signal: gone.signal });
      await carry({ from: socket, to: socket }, connection);
      socket.end();
    } catch (thrown) {
      if (!gone.signal.aborted) failed(thrown);
      socket.resetAndDestroy();
    }
  }
}
