import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { SylphError } from '@sylph/model';

/** Longest line accepted from QEMU, bytes: a full console ring in base64 has 88 KiB. */
const maxLineBytes = 1 << 20;
/** Commands under way at once; the driver itself never has more than a few. */
const maxPending = 64;
const defaultDeadlineMs = 10_000;
const connectRetryMs = 1;

const line = z.union([
  z.object({ QMP: z.unknown() }),
  z.object({ event: z.string(), data: z.unknown().optional() }),
  z.object({ id: z.int(), return: z.unknown() }),
  z.object({ id: z.int().optional(), error: z.object({ class: z.string(), desc: z.string() }) }),
]);

/** Answer of `query-status`: what QEMU calls the VM's state, and whether its CPUs run. */
export const runStatus = z.object({ status: z.string(), running: z.boolean() });

/** An event of QEMU. `atMs` is `performance.now()` when it was read. */
export interface QmpEvent {
  name: string;
  data: unknown;
  atMs: number;
}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/**
 * A conversation with one QEMU on its QMP socket (docs/interop/qmp-spec). QEMU serves one client at a time.
 * Each command has a deadline; after the connection broke all reject with `vm_failed`.
 */
export class QmpClient {
  readonly #socket: net.Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #greeted = Promise.withResolvers<void>();
  #chunks: string[] = [];
  #chunksLength = 0;
  #nextId = 1;
  #brokenBy: SylphError | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.once('error', (cause) =>
      this.#break(new SylphError('vm_failed', `QMP connection failed: ${cause.message}`, { cause })),
    );
    socket.once('close', () => this.#break(new SylphError('vm_failed', 'QEMU closed its QMP connection')));
    // Whoever waits for the greeting sees the failure; nobody else needs to.
    this.#greeted.promise.catch(() => {});
  }

  /** Connects, retrying until the socket exists, and negotiates. The signal ends the attempt. */
  static async connect(path: string, options: { deadlineMs: number; signal: AbortSignal }): Promise<QmpClient> {
    const until = performance.now() + options.deadlineMs;
    for (;;) {
      options.signal.throwIfAborted();
      const socket = await tryConnect(path);
      if (socket !== undefined) {
        const client = new QmpClient(socket);
        const abort = (): void => client.#break(new SylphError('vm_failed', 'QMP connection given up'));
        options.signal.addEventListener('abort', abort, { once: true });
        const timer = setTimeout(
          () => client.#break(new SylphError('vm_failed', `no QMP greeting in ${options.deadlineMs} ms`)),
          options.deadlineMs,
        );
        try {
          await client.#greeted.promise;
          await client.command('qmp_capabilities');
        } finally {
          clearTimeout(timer);
          options.signal.removeEventListener('abort', abort);
        }
        return client;
      }
      if (performance.now() > until)
        throw new SylphError('vm_failed', `QEMU opened no QMP socket in ${options.deadlineMs} ms`);
      await sleep(connectRetryMs, undefined, { signal: options.signal });
    }
  }

  /** Settles when the connection is over, for whatever reason. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Sends a command and returns its reply unchecked. Rejects with `vm_failed` on an error of QEMU, a broken connection or the deadline. */
  async command(
    execute: string,
    args: Record<string, unknown> = {},
    options: { deadlineMs?: number } = {},
  ): Promise<unknown> {
    if (this.#brokenBy !== undefined) throw this.#brokenBy;
    if (this.#pending.size >= maxPending)
      throw new SylphError('vm_failed', `more than ${maxPending} QMP commands at once`);
    const id = this.#nextId++;
    const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new SylphError('vm_failed', `QEMU did not answer ${execute} in ${deadlineMs} ms`));
      }, deadlineMs);
      this.#pending.set(id, {
        timer,
        resolve,
        reject: (error) => reject(new SylphError('vm_failed', `${execute}: ${error.message}`, { cause: error })),
      });
      this.#socket.write(`${JSON.stringify({ execute, arguments: args, id })}\n`);
    });
  }

  /** Sends a command and checks its reply. */
  async query<T>(
    schema: z.ZodType<T>,
    execute: string,
    args: Record<string, unknown> = {},
    options: { deadlineMs?: number } = {},
  ): Promise<T> {
    const parsed = schema.safeParse(await this.command(execute, args, options));
    if (!parsed.success)
      throw new SylphError('vm_failed', `${execute} answered something else: ${z.prettifyError(parsed.error)}`);
    return parsed.data;
  }

  /** Calls `listener` for each event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Does not let the connection alone keep our process running. */
  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    this.#break(new SylphError('vm_failed', 'QMP connection closed'));
  }

  #break(error: SylphError): void {
    if (this.#brokenBy !== undefined) return;
    this.#brokenBy = error;
    this.#socket.destroy();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.#pending.clear();
    this.#greeted.reject(error);
    this.#closed.resolve();
  }

  #receive(text: string): void {
    let from = 0;
    for (;;) {
      const newline = text.indexOf('\n', from);
      if (newline < 0) break;
      const whole = this.#chunks.join('') + text.slice(from, newline);
      this.#chunks = [];
      this.#chunksLength = 0;
      from = newline + 1;
      this.#line(whole);
      if (this.#brokenBy !== undefined) return;
    }
    if (from < text.length) {
      this.#chunks.push(text.slice(from));
      this.#chunksLength += text.length - from;
      if (this.#chunksLength > maxLineBytes)
        this.#break(new SylphError('vm_failed', `QEMU sent a line of more than ${maxLineBytes} bytes`));
    }
  }

  #line(text: string): void {
    if (text.trim() === '') return;
    const parsed = line.safeParse(parseJson(text));
    if (!parsed.success) {
      this.#break(new SylphError('vm_failed', 'QEMU sent a line that is not QMP'));
      return;
    }
    const message = parsed.data;
    if ('QMP' in message) {
      this.#greeted.resolve();
      return;
    }
    if ('event' in message) {
      const event = { name: message.event, data: message.data, atMs: performance.now() };
      for (const listener of [...this.#listeners]) listener(event);
      return;
    }
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    // An answer nobody waits for any more: its command ran into the deadline.
    if (pending === undefined) return;
    this.#pending.delete(message.id as number);
    clearTimeout(pending.timer);
    if ('error' in message) pending.reject(new Error(message.error.desc));
    else pending.resolve(message.return);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses undefined, which is how the caller hears of it.
    return undefined;
  }
}

async function tryConnect(path: string): Promise<net.Socket | undefined> {
  return await new Promise((resolve, reject) => {
    const socket = net.connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'EAGAIN') resolve(undefined);
      else reject(new SylphError('vm_failed', `cannot connect to QMP: ${error.message}`, { cause: error }));
    });
  });
}
