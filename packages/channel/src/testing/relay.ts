import net from 'node:net';
import path from 'node:path';

/** Stands between a host and a guest's two sockets, to cut their conversation at any byte. */
export class Relay implements AsyncDisposable {
  readonly sockets: { data: string; control: string };
  readonly #servers: net.Server[] = [];
  readonly #pairs = new Set<net.Socket>();
  #cutAfterBytes = Infinity;

  private constructor(dir: string) {
    this.sockets = { data: path.join(dir, 'relay-data'), control: path.join(dir, 'relay-control') };
  }

  /** Makes its own sockets in `dir`. */
  static async start(dir: string, to: { data: string; control: string }): Promise<Relay> {
    const relay = new Relay(dir);
    await Promise.all([relay.#listen(relay.sockets.data, to.data), relay.#listen(relay.sockets.control, to.control)]);
    return relay;
  }

  /** Cuts all connections once this many more bytes have come from the guest; 0 = now. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = bytes;
    if (bytes === 0) this.#cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cut();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #listen(at: string, to: string): Promise<void> {
    const server = net.createServer((host) => {
      const guest = net.connect(to);
      for (const socket of [host, guest]) {
        this.#pairs.add(socket);
        socket.on('error', () => {}); // cut on purpose
        socket.on('close', () => {
          host.destroy();
          guest.destroy();
          this.#pairs.delete(socket);
        });
      }
      guest.on('data', (chunk: Buffer) => {
        const allowed = Math.min(chunk.length, this.#cutAfterBytes);
        this.#cutAfterBytes -= allowed;
        if (allowed === chunk.length) {
          if (!host.write(chunk)) guest.pause();
        } else host.write(chunk.subarray(0, allowed), () => this.#cut());
      });
      host.on('drain', () => guest.resume());
      host.pipe(guest);
    });
    this.#servers.push(server);
    return new Promise((resolve) => server.listen(at, resolve));
  }

  #cut(): void {
    this.#cutAfterBytes = Infinity;
    for (const socket of this.#pairs) socket.destroy();
  }
}
