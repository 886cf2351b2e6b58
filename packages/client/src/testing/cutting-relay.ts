import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP relay that breaks every connection, without a goodbye, after so many bytes in both directions together. */
export class CuttingRelay implements AsyncDisposable {
  /** Connections broken so far. */
  cuts = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #whole = false;

  private constructor(target: URL, next: () => number) {
    this.#server = createServer({ noDelay: true }, (local) => this.#relay(local, target, next()));
  }

  /** `next` says after how many bytes a new connection breaks. */
  static async start(target: string, next: () => number): Promise<CuttingRelay> {
    const relay = new CuttingRelay(new URL(target), next);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on connections stay. */
  stopCutting(): void {
    this.#whole = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(local: Socket, target: URL, cutAfterBytes: number): void {
    const remote = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    let bytes = 0;
    for (const [from, to] of [
      [local, remote],
      [remote, local],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined); // Its close follows.
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('data', (data: Buffer) => {
        bytes += data.length;
        const over = bytes - cutAfterBytes;
        if (over < 0 || this.#whole) {
          if (!to.write(data)) from.pause();
          return;
        }
        // What came before the cut is passed on, as a network may do.
        to.write(data.subarray(0, data.length - over), () => to.resetAndDestroy());
        from.resetAndDestroy();
        this.cuts += 1;
      });
      to.on('drain', () => from.resume());
    }
  }
}
