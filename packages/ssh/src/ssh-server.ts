import net from 'node:net';
import { clientNetwork } from '@sylph/model';
import type { ClientInfo, Connection } from 'ssh2';
import { algorithms } from './algorithms.ts';
import { ClientConnection } from './connection.ts';
import { CredentialWatch } from './credential-watch.ts';
import type { SshDeps } from './deps.ts';
import type { HostKey } from './host-key.ts';
import { Server } from './library.ts';
import { TokenFailures } from './token-failures.ts';

/** What clients read first (RFC 4253, section 4.2). Some ask for OpenSSH's extensions, such as Unix sockets, only where it begins so; all that this version has and they use is there. */
const ident = 'OpenSSH_9.2 Sylph';
/** Connections that wait to be taken. */
const backlog = 128;
/** Beyond what its own channels write, what a client that does not read can make the server answer. */
const unsentSlack = 4;
/** Event of a socket: its client has authenticated. */
const entered = Symbol('entered');

/** The SSH server: one sprite a connection. */
export class SshServer implements AsyncDisposable {
  readonly #deps: SshDeps;
  readonly #listener: net.Server;
  readonly #ssh: InstanceType<typeof Server>;
  readonly #failures: TokenFailures;
  readonly #connections = new Set<ClientConnection>();
  /** Sockets that have not authenticated, by {@link peerOf}. */
  readonly #newcomers = new Map<string, net.Socket>();
  readonly #watch: CredentialWatch;
  #closing: Promise<void> | undefined;

  private constructor(deps: SshDeps, hostKey: HostKey) {
    this.#deps = deps;
    const { limits } = deps;
    this.#failures = new TokenFailures(limits.tokenFailuresPerMinute);
    this.#ssh = new Server({
      hostKeys: [hostKey.privateKey],
      algorithms,
      ident,
      keepaliveInterval: limits.keepAliveMs,
      keepaliveCountMax: limits.keepAliveTries,
    });
    this.#ssh.on('connection', (client: Connection, { ip, port }: ClientInfo) => this.#greet(client, peerOf(ip, port)));
    this.#listener = net.createServer({ noDelay: true, keepAlive: true, pauseOnConnect: true }, (socket) =>
      this.#take(socket),
    );
    this.#listener.maxConnections = limits.maxConnections;
    this.#watch = new CredentialWatch(deps, () => this.#connections);
  }

  /** Resolves when it listens. */
  static async listen(deps: SshDeps, hostKey: HostKey, at: { host: string; port: number }): Promise<SshServer> {
    const server = new SshServer(deps, hostKey);
    await new Promise<void>((resolve, reject) => {
      server.#listener.once('error', reject);
      server.#listener.listen({ ...at, backlog }, () => resolve());
    });
    // Such as too many open files: the connection is refused, and the next may come through.
    server.#listener.on('error', (error) => deps.log.warn({ err: error }, 'the SSH server cannot take a connection'));
    return server;
  }

  /** Port it listens on. */
  get port(): number {
    return (this.#listener.address() as net.AddressInfo).port;
  }

  /** Says goodbye to all and ends. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#watch[Symbol.dispose]();
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    for (const socket of this.#newcomers.values()) socket.destroy();
    await Promise.all(
      [...this.#connections].map((one) => one.close('the server goes down; connect again in a moment')),
    );
    await closed;
  }

  #take(socket: net.Socket): void {
    const { limits, ready } = this.#deps;
    const { remoteAddress: address = '', remotePort = 0 } = socket;
    const network = clientNetwork(address);
    const ofAddress = [...this.#newcomers.values()].filter(
      (one) => clientNetwork(one.remoteAddress ?? '') === network,
    ).length;
    const crowded =
      this.#newcomers.size >= limits.maxUnauthenticated || ofAddress >= limits.maxUnauthenticatedPerAddress;
    if (crowded || !ready() || this.#closing !== undefined) return void socket.destroy();
    const peer = peerOf(address, remotePort);
    this.#newcomers.set(peer, socket);
    const tooLate = setTimeout(() => socket.destroy(), limits.authTimeoutMs);
    const known = (): void => {
      clearTimeout(tooLate);
      this.#newcomers.delete(peer);
    };
    socket.once('close', known);
    socket.once(entered, known);
    // Its `close` follows.
    socket.on('error', () => {});
    this.#boundAnswers(socket);
    this.#ssh.injectSocket(socket);
  }

  /** A client has said what it is. */
  #greet(client: Connection, peer: string): void {
    const socket = this.#newcomers.get(peer);
    if (socket === undefined) return void client.end();
    const connection = new ClientConnection(
      { client, socket },
      { deps: this.#deps, failures: this.#failures, onEntered: () => socket.emit(entered) },
    );
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  /** A client that sends requests and does not read the answers is not read either. */
  #boundAnswers(socket: net.Socket): void {
    const maxUnsentBytes = this.#deps.limits.maxUnsentBytes * unsentSlack;
    socket.on('data', () => {
      if (socket.writableLength > maxUnsentBytes) socket.pause();
    });
    socket.on('drain', () => socket.resume());
  }
}

/** The library gives a client by its address alone, which no other open connection has. */
function peerOf(address: string, port: number): string {
  return `${address} ${port}`;
}
