import { randomBytes } from 'node:crypto';
import type { Connection, ServerChannel } from 'ssh2';
import type { ConnectionParts } from './connection-parts.ts';
import { ForwardOut } from './forward-out.ts';

/** Window and packet size of channels the server opens: the library's own. */
const windowBytes = 2 * 1024 * 1024;
const packetBytes = 32 * 1024;

/** What the library has for channels to a client's key agent and shows to nobody. */
interface Internals {
  _protocol: { openssh_authAgent(id: number, windowBytes: number, packetBytes: number): void };
  _chanMgr: { add(opened: (error: Error | undefined, channel: ServerChannel) => void): number };
}

/** The client's key agent, for programs inside: a socket in a directory of its own, which nobody but the sprite's user can enter. One per connection, made when it is first wanted. */
export class AgentForward {
  readonly #client: Connection;
  readonly #parts: ConnectionParts;
  #socket: Promise<string> | undefined;

  constructor(client: Connection, parts: ConnectionParts) {
    this.#client = client;
    this.#parts = parts;
  }

  /** Variables that lead programs to it; none when it cannot be. Never rejects. */
  async variables(): Promise<Record<string, string>> {
    try {
      return { SSH_AUTH_SOCK: await (this.#socket ??= this.#start()) };
    } catch (error) {
      this.#socket = undefined;
      this.#parts.log.warn({ err: error }, "a client's key agent could not be brought into its sprite");
      return {};
    }
  }

  async #start(): Promise<string> {
    const path = `/tmp/ssh-${randomBytes(8).toString('hex')}/agent`;
    await ForwardOut.start(this.#parts, { path, private: true }, () => this.#channel());
    return path;
  }

  #channel(): Promise<ServerChannel> {
    const { _protocol: protocol, _chanMgr: channels } = this.#client as unknown as Internals;
    return new Promise((resolve, reject) => {
      const id = channels.add((error, channel) => (error === undefined ? resolve(channel) : reject(error)));
      protocol.openssh_authAgent(id, windowBytes, packetBytes);
    });
  }
}
