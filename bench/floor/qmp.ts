import net from 'node:net';

/** An event of QEMU's with the time it was read, on `performance.now()`. */
export interface QmpEvent {
  name: string;
  data: Record<string, unknown>;
  atMs: number;
}

type Waiter = { resolve: (value: unknown) => void; reject: (error: Error) => void };

/** A QMP connection: commands answer in order. */
export class Qmp {
  readonly #socket: net.Socket;
  readonly #waiting: Waiter[] = [];
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #text = '';

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#read(bytes.toString()));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('QEMU closed its monitor'));
    });
    // The close that follows tells everyone who waits.
    socket.on('error', () => undefined);
  }

  /** Connects as soon as QEMU listens; throws at the deadline. */
  static async connect(path: string, deadlineMs: number): Promise<Qmp> {
    const qmp = new Qmp(await connectUnix(path, deadlineMs));
    await qmp.command('qmp_capabilities');
    return qmp;
  }

  command(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('QEMU closed its monitor'));
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  }

  /** The next event that fits; rejects at the deadline. */
  event(fits: (event: QmpEvent) => boolean, deadlineMs: number): Promise<QmpEvent> {
    return new Promise((resolve, reject) => {
      const listener = (event: QmpEvent): void => {
        if (fits(event)) done(() => resolve(event));
      };
      const timer = setTimeout(
        () => done(() => reject(new Error(`no event of QEMU within ${deadlineMs} ms`))),
        deadlineMs,
      );
      const done = (settle: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        settle();
      };
      this.#listeners.add(listener);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    const atMs = performance.now();
    this.#text += text;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const message = JSON.parse(this.#text.slice(0, end)) as {
        event?: string;
        data?: Record<string, unknown>;
        return?: unknown;
        error?: { desc: string };
      };
      this.#text = this.#text.slice(end + 1);
      if (message.event !== undefined)
        for (const listener of this.#listeners) listener({ name: message.event, data: message.data ?? {}, atMs });
      else if (message.error) this.#waiting.shift()?.reject(new Error(message.error.desc));
      else if ('return' in message) this.#waiting.shift()?.resolve(message.return);
    }
  }
}

/** Connects to a Unix socket, again and again until its owner listens; throws at the deadline. */
export async function connectUnix(path: string, deadlineMs: number): Promise<net.Socket> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const socket = await attempt(path).catch((error: unknown) => {
      if (performance.now() > end) throw error;
      return undefined;
    });
    if (socket) return socket;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function attempt(path: string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path, () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}
