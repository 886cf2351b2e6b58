import type { Socket } from 'node:net';
import type { ServerChannel } from 'ssh2';

/** Between two looks at what waits, bytes. */
const lookEveryBytes = 256 * 1024;
/** What may wait to be read of one channel: its window, and what the library takes in before it stops opening that. More means that the client does not keep to it, which the library does not look at. */
const maxWaitingBytes = 3 * 2 * 1024 * 1024;

/** Watches that a client sends no more than its channels have room for. */
export class Inflow {
  readonly #channels = new Set<ServerChannel>();
  #bytes = 0;

  /** `onExcess` is called when it does, perhaps again. */
  constructor(socket: Socket, onExcess: () => void) {
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes < lookEveryBytes) return;
      this.#bytes = 0;
      for (const channel of this.#channels) if (channel.readableLength > maxWaitingBytes) return onExcess();
    });
  }

  /** Until the answer is called. */
  add(channel: ServerChannel): () => void {
    this.#channels.add(channel);
    return () => void this.#channels.delete(channel);
  }
}
