import type { GuestConnection } from './guest-connection.ts';

/** Where to listen inside. `private`: the path's directory is made for it, is its user's alone, and goes with it. A port of 0 is any; an empty host all addresses. */
export type ListenAddress = { path: string; private: boolean } | { host: string; port: number };

/** A connection that a program inside made to a {@link GuestListener}. */
export interface AcceptedConnection {
  /** Its other end, as the guest tells it; empty of a Unix socket. */
  readonly from: string;
  /** Takes it, once, within ten seconds; later it is reset. Rejects with `agent_failed`. */
  take(options: { signal: AbortSignal }): Promise<GuestConnection>;
}

/** Listens inside until it is closed or the channel breaks. */
export interface GuestListener extends Disposable {
  /** `host:port` or the path. */
  readonly address: string;
  /** One consumer. Ends when it is closed; throws `agent_failed` when the channel broke. */
  readonly connections: AsyncIterable<AcceptedConnection>;
}

/** Sockets inside, used with the permissions of a user there. */
export interface GuestSockets {
  /** Connects to a Unix socket. Rejects as `GuestChannel.dial`. */
  connect(target: { path: string; user: string }, options: { signal: AbortSignal }): Promise<GuestConnection>;
  /** Rejects with `GuestDialError` when the guest cannot listen there: EADDRINUSE, EACCES and such. */
  listen(where: ListenAddress, options: { user: string; signal: AbortSignal }): Promise<GuestListener>;
}
