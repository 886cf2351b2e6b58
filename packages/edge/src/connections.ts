import type { Socket } from 'node:net';
import { plainAddress } from './client.ts';

/** Counts connections, all and of each address, and ends them. */
export class Connections {
  readonly #limits: { maxConnections: number; maxConnectionsPerAddress: number };
  readonly #trusts: (address: string) => boolean;
  readonly #open = new Set<Socket>();
  readonly #byAddress = new Map<string, number>();

  constructor(
    limits: { maxConnections: number; maxConnectionsPerAddress: number },
    trusts: (address: string) => boolean,
  ) {
    this.#limits = limits;
    this.#trusts = trusts;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether a new connection may stay; one too many is closed. */
  admit(socket: Socket): boolean {
    const address = plainAddress(socket.remoteAddress ?? '');
    const count = this.#byAddress.get(address) ?? 0;
    const { maxConnections, maxConnectionsPerAddress } = this.#limits;
    if (this.#open.size >= maxConnections || (count >= maxConnectionsPerAddress && !this.#trusts(address))) {
      socket.destroy();
      return false;
    }
    this.#open.add(socket);
    this.#byAddress.set(address, count + 1);
    socket.once('close', () => {
      this.#open.delete(socket);
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    });
    return true;
  }

  /** Ends all. */
  destroy(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
