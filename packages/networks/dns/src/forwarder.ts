import { Answerer } from './answerer.ts';
import type { DnsClient } from './client.ts';
import { ClientState } from './client-state.ts';
import { emptyReply, maxUdpBytes, readQuery, writeReply, type Query } from './message.ts';
import { Resolver } from './resolver.ts';
import { SpecialRanges } from './special-ranges.ts';
import { listenTcp } from './tcp-listener.ts';
import { listenUdp } from './udp-listener.ts';
import { Upstreams } from './upstreams.ts';

/** Questions of all sprites being answered. */
const maxOutstanding = 4_096;
/** Longest message over TCP. */
const maxTcpBytes = 65_535;

/** What a forwarder is made of. */
export interface DnsForwarderOptions {
  /** Addresses it answers on, over UDP and TCP. Port 0: any; see {@link DnsForwarder.ports}. */
  listen: readonly { address: string; port: number }[];
  /** Name servers it asks, `ADDRESS[:PORT]`; none: those of the host. */
  upstreams: readonly string[];
  /** Whose an address is; undefined: nobody's, and what comes from there is dropped. IPv4 addresses come as such. */
  clientOf: (remoteAddress: string) => DnsClient | undefined;
  /** Special networks that answers may point into (`network-allow`). */
  allowedSpecial?: readonly string[];
  /** The host's list of name servers; default `/etc/resolv.conf`. Read again when it changes. */
  resolvConf?: string;
}

/**
 * Answers DNS questions of sprites by their policies, over UDP and TCP.
 *
 * A name that is denied, or leads over one that is, is answered REFUSED; so is one whose addresses are all special (rebinding), others lose those. Addresses are admitted before the answer goes out. Names of local networks and
 * reverse names of special ranges are NXDOMAIN and never asked for outside. What is cached for one sprite answers no other.
 * What is no question is dropped, and so is what is beyond a sprite's rate: 100 in a second, 200 at once, 64 being answered, 8 connections.
 */
export class DnsForwarder implements AsyncDisposable {
  readonly #options: DnsForwarderOptions;
  readonly #answerer: Answerer;
  readonly #states = new WeakMap<DnsClient, ClientState>();
  #outstanding = 0;
  #listening: AsyncDisposableStack | undefined;
  #ports: number[] = [];

  /** Throws `RangeError` on name servers or networks that are none. */
  constructor(options: DnsForwarderOptions) {
    this.#options = options;
    const upstreams = new Upstreams(options.upstreams, options.resolvConf ?? '/etc/resolv.conf');
    this.#answerer = new Answerer(new Resolver(upstreams), new SpecialRanges(options.allowedSpecial));
  }

  /** Ports it listens on, as `listen` has them. */
  get ports(): readonly number[] {
    return this.#ports;
  }

  /** Begins to listen. Rejects with the system's error, and listens nowhere, when an address cannot be had. */
  async open(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const ports: number[] = [];
    for (const { address, port } of this.#options.listen) {
      const tcp = stack.use(
        await listenTcp(
          { address, port },
          {
            ask: (remote, question, answer) => this.#ask(remote, question, maxTcpBytes, answer),
            admit: (remote) => this.#admit(remote),
          },
        ),
      );
      stack.use(
        await listenUdp({ address, port: tcp.port }, (remote, question, answer) =>
          this.#ask(remote, question, maxUdpBytes, answer),
        ),
      );
      ports.push(tcp.port);
    }
    this.#ports = ports;
    this.#listening = stack.move();
  }

  /** Ends listening. Questions being answered stay without answer. Idempotent. */
  async close(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.disposeAsync();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ask(remoteAddress: string, bytes: Buffer, maxBytes: number, send: (answer: Buffer | undefined) => void): void {
    const client = this.#options.clientOf(remoteAddress);
    if (!client) return send(undefined);
    const state = this.#stateOf(client);
    // Counted before it is read: reading costs as much as asking.
    if (this.#outstanding >= maxOutstanding || !state.take()) {
      const name = state.tellsRate() ? readQuery(bytes)?.canonical : undefined;
      if (name !== undefined) client.denied(name, 'rate');
      return send(undefined);
    }
    const query = readQuery(bytes);
    if (!query) {
      state.settle();
      return send(undefined);
    }
    this.#outstanding += 1;
    const limit = Math.min(maxBytes, maxBytes === maxUdpBytes ? query.udpBytes : maxBytes);
    void this.#answer(query, client, state, limit)
      .then(send)
      .finally(() => {
        this.#outstanding -= 1;
        state.settle();
      });
  }

  async #answer(query: Query, client: DnsClient, state: ClientState, maxBytes: number): Promise<Buffer> {
    const reply = await this.#answerer.answer(query, client, state);
    try {
      return writeReply(query, reply, maxBytes);
    } catch {
      // A record the library reads but cannot write. Without it there is no answer.
      return writeReply(query, emptyReply('SERVFAIL'), maxBytes);
    }
  }

  #admit(remoteAddress: string): (() => void) | undefined {
    const client = this.#options.clientOf(remoteAddress);
    if (!client) return undefined;
    const state = this.#stateOf(client);
    return state.connect() ? () => state.disconnect() : undefined;
  }

  #stateOf(client: DnsClient): ClientState {
    const known = this.#states.get(client);
    if (known) return known;
    const made = new ClientState();
    this.#states.set(client, made);
    return made;
  }
}
