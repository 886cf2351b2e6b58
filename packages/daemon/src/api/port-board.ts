import type { GuestChannel } from '@sylph/engine';
import { type GuestPort, type GuestPortLine, hostAndPort } from '@sylph/model';
import type { Logger } from 'pino';

/** Readers hear of changes at most so often, whatever the guest says. */
const tellIntervalMs = 250;
/** Lines of one guest that are read between two rests; a guest that says more waits. */
const maxLinesAtOnce = 2_048;

/** Ports by their {@link portKey}. */
export type Ports = ReadonlyMap<string, GuestPort>;

/** A port as it is reached. */
export function portKey({ address, port }: { address: string; port: number }): string {
  return hostAndPort(address, port);
}

/** The ports of one awake guest: one watch inside, shared by all readers and ended with the last. */
export class PortBoard {
  readonly #channel: GuestChannel;
  readonly #log: Pick<Logger, 'info'>;
  readonly #readers = new Set<Reader>();
  #ports: Map<string, GuestPort> | undefined;
  #watch: AbortController | undefined;
  #telling: NodeJS.Timeout | undefined;
  #toldAt = 0;

  constructor(channel: GuestChannel, log: Pick<Logger, 'info'>) {
    this.#channel = channel;
    this.#log = log;
  }

  /** Tells all ports, once they are known and after changes, until `signal` fires or the watch inside is over; resolves then. Never rejects. */
  read(tell: (ports: Ports) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const leave = (): void => {
        signal.removeEventListener('abort', leave);
        this.#readers.delete(reader);
        if (this.#readers.size === 0) this.#watch?.abort();
        resolve();
      };
      const reader: Reader = { tell, leave };
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', leave, { once: true });
      this.#readers.add(reader);
      if (this.#watch === undefined || this.#watch.signal.aborted)
        void this.#run((this.#watch = new AbortController()));
      else if (this.#ports !== undefined) tell(this.#ports);
    });
  }

  async #run(watch: AbortController): Promise<void> {
    this.#ports = undefined;
    try {
      let lines = 0;
      for await (const line of this.#channel.watchPorts({ signal: watch.signal })) {
        if (watch.signal.aborted) return;
        this.#take(line);
        this.#tellSoon();
        if (++lines % maxLinesAtOnce === 0) await new Promise((resolve) => setTimeout(resolve, tellIntervalMs));
      }
    } catch (error) {
      // Sleep, restart and restore end it too. Readers look for the next channel by themselves.
      this.#log.info({ err: error }, 'a port watch is over');
    }
    if (watch.signal.aborted) return;
    watch.abort();
    clearTimeout(this.#telling);
    this.#telling = undefined;
    for (const { leave } of this.#readers) leave();
  }

  #take(line: GuestPortLine): void {
    if ('ports' in line) this.#ports = new Map(line.ports.map((port) => [portKey(port), port]));
    else if ('opened' in line) this.#ports?.set(portKey(line.opened), line.opened);
    else this.#ports?.delete(portKey(line.closed));
  }

  #tellSoon(): void {
    if (this.#telling !== undefined) return;
    const tell = (): void => {
      this.#telling = undefined;
      this.#toldAt = performance.now();
      if (this.#ports !== undefined) for (const reader of this.#readers) reader.tell(this.#ports);
    };
    // The first of a burst waits for the rest of it.
    this.#telling = setTimeout(tell, Math.max(5, this.#toldAt + tellIntervalMs - performance.now()));
  }
}

interface Reader {
  tell: (ports: Ports) => void;
  leave: () => void;
}

/** The {@link PortBoard} of each guest. */
export class PortBoards {
  readonly #log: Pick<Logger, 'info'>;
  readonly #boards = new WeakMap<GuestChannel, PortBoard>();

  constructor(log: Pick<Logger, 'info'>) {
    this.#log = log;
  }

  of(channel: GuestChannel): PortBoard {
    const board = this.#boards.get(channel) ?? new PortBoard(channel, this.#log);
    this.#boards.set(channel, board);
    return board;
  }
}
