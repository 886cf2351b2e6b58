import { EventEmitter } from 'node:events';
import type { SylphClient } from '../client.ts';
import type { CallOptions } from '../sprites.ts';
import { Forward } from './forward.ts';

/** A local port that leads to one of a sprite. `localPort` 0: any. */
export interface PortMapping {
  localPort: number;
  remotePort: number;
  /** As seen from inside; default `localhost`. */
  remoteHost?: string | undefined;
}

/** A local port that leads into a sprite, in the shape of the npm SDK. Listens on loopback only. `error` tells of one connection that failed; nobody has to listen. */
export class ProxySession extends EventEmitter<{ close: []; error: [error: Error] }> {
  readonly remotePort: number;
  readonly remoteHost: string;
  readonly #mapping: PortMapping;
  readonly #target: { client: SylphClient; sprite: string };
  readonly #closed: Promise<void>;
  #forward: Forward | undefined;
  #over = false;

  constructor(target: { client: SylphClient; sprite: string }, mapping: PortMapping) {
    super();
    this.#target = target;
    this.#mapping = mapping;
    this.remotePort = mapping.remotePort;
    this.remoteHost = mapping.remoteHost ?? 'localhost';
    this.#closed = new Promise((resolve) => this.once('close', resolve));
  }

  /** The port that is listened on. */
  get localPort(): number {
    return this.#forward?.port ?? this.#mapping.localPort;
  }

  /** Listens. Rejects with the system's error when the port cannot be had. The signal closes it. */
  async start({ signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#forward = await Forward.listen(this.#mapping.localPort, {
      ...this.#target,
      target: { host: this.remoteHost, port: this.remotePort },
      failed: (error) => {
        if (this.listenerCount('error') > 0)
          this.emit('error', error instanceof Error ? error : new Error(String(error)));
      },
    });
    if (this.#over || signal?.aborted === true) return this.#end();
    const abort = (): void => this.close();
    signal?.addEventListener('abort', abort, { once: true });
    this.once('close', () => signal?.removeEventListener('abort', abort));
  }

  /** `localhost:PORT`; null when it does not listen. */
  localAddr(): string | null {
    return this.#forward === undefined || this.#over ? null : `localhost:${this.localPort}`;
  }

  /** Ends it with its connections; `close` follows. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    void this.#end();
  }

  /** Resolves when it is closed. */
  wait(): Promise<void> {
    return this.#closed;
  }

  async #end(): Promise<void> {
    this.#over = true;
    await this.#forward?.[Symbol.asyncDispose]();
    this.emit('close');
  }
}

/** Several proxies that end together. */
export class ProxyManager {
  readonly #sessions = new Set<ProxySession>();

  addSession(session: ProxySession): void {
    this.#sessions.add(session);
  }

  closeAll(): void {
    for (const session of this.#sessions) session.close();
    this.#sessions.clear();
  }

  async waitAll(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.wait()));
  }
}
