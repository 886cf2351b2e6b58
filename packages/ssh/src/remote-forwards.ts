import type { ListenAddress } from '@sylph/engine';
import type { Connection, ServerChannel } from 'ssh2';
import type { ConnectionParts } from './connection-parts.ts';
import { ForwardOut, type OpenChannel } from './forward-out.ts';
import { notable } from './tunnel.ts';

/** What a global request about forwarding says, as far as its kind has it. */
interface ForwardRequest {
  bindAddr?: string;
  bindPort?: number;
  socketPath?: string;
}

type Answer = ((port?: number) => void) | undefined;

/** Ports and Unix sockets inside that a client wants listened on for it (`ssh -R`). */
export class RemoteForwards {
  readonly #client: Connection;
  readonly #parts: ConnectionParts;
  readonly #max: number;
  /** By what the client calls them; undefined: being started. */
  readonly #open = new Map<string, ForwardOut | undefined>();
  /** Requests for any port so far, which have no name of their own while they start. */
  #started = 0;

  constructor(client: Connection, parts: ConnectionParts, { maxListeners }: { maxListeners: number }) {
    this.#client = client;
    this.#parts = parts;
    this.#max = maxListeners;
    client.on('request', (accept, reject, name, info) => {
      const asked = info as unknown as ForwardRequest;
      switch (name as string) {
        case 'tcpip-forward':
        case 'streamlocal-forward@openssh.com':
          return void this.#start(asked, accept, reject);
        case 'cancel-tcpip-forward':
        case 'cancel-streamlocal-forward@openssh.com':
          return this.#cancel(asked, accept, reject);
        default:
          return reject?.();
      }
    });
  }

  /** Never rejects. */
  async #start(asked: ForwardRequest, accept: Answer, reject: (() => void) | undefined): Promise<void> {
    // Of port 0 there may be several: each becomes another.
    const asKey = asked.bindPort === 0 ? `starting ${(this.#started += 1)}` : keyOf(asked);
    if (this.#open.size >= this.#max || this.#open.has(asKey)) return reject?.();
    // A place is taken while it starts.
    this.#open.set(asKey, undefined);
    try {
      let port = asked.bindPort ?? 0;
      const started = await ForwardOut.start(
        this.#parts,
        whereOf(asked),
        this.#opener(asked, () => port),
      );
      if (asked.bindPort !== undefined) port = Number(started.address.slice(started.address.lastIndexOf(':') + 1));
      this.#open.delete(asKey);
      this.#open.set(keyOf(asked.bindPort === undefined ? asked : { ...asked, bindPort: port }), started.forward);
      accept?.(port);
    } catch (error) {
      this.#open.delete(asKey);
      const { link, log } = this.#parts;
      if (!link.over.aborted && notable(error) !== undefined) log.warn({ err: error }, 'a forward could not be made');
      reject?.();
    }
  }

  #cancel(asked: ForwardRequest, accept: Answer, reject: (() => void) | undefined): void {
    const forward = this.#open.get(keyOf(asked));
    if (forward === undefined) return reject?.();
    forward[Symbol.dispose]();
    this.#open.delete(keyOf(asked));
    accept?.();
  }

  #opener({ bindAddr = '', socketPath }: ForwardRequest, port: () => number): OpenChannel {
    const client = this.#client;
    return ({ from }) =>
      new Promise<ServerChannel>((resolve, reject) => {
        const opened = (error: Error | undefined, channel: ServerChannel): void =>
          error === undefined ? resolve(channel) : reject(error);
        if (socketPath !== undefined) return void client.openssh_forwardOutStreamLocal(socketPath, opened);
        const at = from.lastIndexOf(':');
        return void client.forwardOut(bindAddr, port(), from.slice(0, at), Number(from.slice(at + 1)), opened);
      });
  }
}

/** Only programs inside reach it unless the client asks for more: an empty address or `*` is all of the sprite's addresses (ssh_config(5), RemoteForward). */
function whereOf({ bindAddr, bindPort = 0, socketPath }: ForwardRequest): ListenAddress {
  if (socketPath !== undefined) return { path: socketPath, private: false };
  const everywhere = bindAddr === '' || bindAddr === '*';
  const here = bindAddr === undefined || bindAddr.toLowerCase() === 'localhost';
  return { host: everywhere ? '' : here ? '127.0.0.1' : bindAddr, port: bindPort };
}

function keyOf({ bindAddr, bindPort, socketPath }: ForwardRequest): string {
  return JSON.stringify([bindAddr, bindPort, socketPath]);
}
